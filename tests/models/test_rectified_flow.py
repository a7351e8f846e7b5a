"""Euler's steps: where the flow is asked, and what comes of it."""

import pytest
import torch

from models.samplers.rectified_flow import euler, euler_states, noisy


class Asked:
    """A flow towards 1 that notes when it was asked: v = (1 - x) / (1 - t)."""

    def __init__(self) -> None:
        self.times: list[torch.Tensor] = []

    def __call__(self, state: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        self.times.append(times)
        return (1 - state) / (1 - times.view(-1, 1, 1, 1))


SOURCE = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_the_times_are_i_over_k_one_for_each_face_and_never_1() -> None:
    asked = Asked()
    euler(asked, SOURCE, 5)
    expected = torch.tensor([0, 1 / 5, 2 / 5, 3 / 5, 4 / 5])
    assert torch.equal(torch.stack(asked.times), expected[:, None].expand(-1, 2))


def test_a_flow_that_starts_later_has_shorter_steps() -> None:
    asked = Asked()
    found = euler(asked, SOURCE, 4, first=0.2)
    torch.testing.assert_close(torch.stack(asked.times)[:, 0], torch.tensor([0.2, 0.4, 0.6, 0.8]))
    torch.testing.assert_close(found, torch.ones_like(SOURCE))


def test_along_straight_lines_every_number_of_steps_gives_the_same() -> None:
    for steps in (1, 2, 7):
        torch.testing.assert_close(euler(Asked(), SOURCE, steps), torch.ones_like(SOURCE))


def test_states_are_one_step_apart_and_the_last_is_the_result() -> None:
    states = list(euler_states(lambda state, _: torch.full_like(state, 2), SOURCE, 4))
    assert len(states) == 4
    for index, state in enumerate(states, 1):
        torch.testing.assert_close(state, SOURCE + 0.5 * index)
    assert torch.equal(states[-1], euler(lambda state, _: torch.full_like(state, 2), SOURCE, 4))


def test_states_and_source_are_not_clipped() -> None:
    assert noisy(SOURCE, torch.full_like(SOURCE, -20), 0.1).max() < 0
    assert euler(lambda state, _: torch.full_like(state, 9), SOURCE, 3).min() > 8


def test_noise_is_scaled_by_sigma() -> None:
    assert noisy(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), 0.25).item() == pytest.approx(0.25)
