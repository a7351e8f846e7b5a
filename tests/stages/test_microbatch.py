"""Memory that runs out: micro-batches are halved, the ceiling stays, nothing is lost."""

import errno
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
import torch

from stages.microbatch import MicroBatches, out_of_memory


class Small:
    """Doubles numbers, at most ``limit`` of them at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sizes: list[int] = []

    def __call__(self, part: Sequence[int]) -> list[int]:
        self.sizes.append(len(part))
        if len(part) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [2 * number for number in part]


def give_up(number: int) -> int:
    return -number


def test_everything_is_done_in_order_with_few_events_and_the_ceiling_is_remembered() -> None:
    released: list[int] = []
    batches, work = MicroBatches(64, lambda: released.append(1)), Small(8)
    assert batches.run(range(200), work, give_up) == [2 * number for number in range(200)]
    assert batches.run(range(40), work, give_up) == [2 * number for number in range(40)]
    assert work.sizes == [64, 32, 16, *[8] * 25, *[8] * 5]
    assert batches.events == len(released) == 3


def test_a_short_batch_that_does_not_fit_lowers_the_ceiling_below_its_own_length() -> None:
    batches, work = MicroBatches(64, lambda: None), Small(2)
    batches.run(range(5), work, give_up)
    assert work.sizes == [5, 2, 2, 1]


def test_what_does_not_fit_alone_is_given_up_alone() -> None:
    def work(part: Sequence[int]) -> list[int]:
        if 3 in part:
            raise MemoryError
        return [2 * number for number in part]

    assert MicroBatches(8, lambda: None).run([1, 2, 3, 4], work, give_up) == [2, 4, -3, 8]


def test_another_error_is_a_bug_and_raises() -> None:
    def work(part: Sequence[int]) -> list[int]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    batches = MicroBatches(8, lambda: None)
    with pytest.raises(RuntimeError, match="illegal"):
        batches.run([1], work, give_up)
    assert batches.events == 0


def test_what_failed_is_let_go_before_the_allocator_is_asked_to() -> None:
    class Held:
        alive = 0

        def __init__(self) -> None:
            Held.alive += 1

        def __del__(self) -> None:
            Held.alive -= 1

    def work(part: Sequence[int]) -> list[int]:
        held = Held()
        if len(part) > 1:
            raise MemoryError(f"with {held.alive}")
        return list(part)

    seen: list[int] = []
    MicroBatches(4, lambda: seen.append(Held.alive)).run([1, 2, 3, 4], work, give_up)
    assert seen == [0, 0]


def too_much_torch() -> None:
    torch.empty(10**15)


def too_much_numpy() -> None:
    np.empty(10**15)


def too_much_opencv() -> None:
    cv2.resize(np.zeros((2, 2), np.uint8), (2**20, 2**20))


@pytest.mark.parametrize("ask", [too_much_torch, too_much_numpy, too_much_opencv])
def test_the_libraries_own_errors_are_known(ask: Callable[[], None]) -> None:
    with pytest.raises((RuntimeError, MemoryError, cv2.error)) as caught:
        ask()
    assert out_of_memory(caught.value)


def test_no_memory_for_a_process_is_known_and_a_full_disk_is_another_matter() -> None:
    assert out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    assert not out_of_memory(ValueError("out of memory"))
