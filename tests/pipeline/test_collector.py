"""The garbage collector is as it was once the work is done, and garbage that was made meanwhile goes."""

import gc
import weakref

import pytest

from pipeline.collector import held_back


class Ring:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def fail_inside() -> None:
    before = gc.get_threshold()
    with held_back():
        assert gc.get_threshold() != before
        raise KeyError


def test_the_collector_is_as_it_was_even_after_an_error() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError):
        fail_inside()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == frozen


def test_a_cycle_that_was_made_meanwhile_is_collected_meanwhile() -> None:
    with held_back():
        ring = Ring()
        gone = weakref.ref(ring)
        del ring
        assert gone() is not None
        gc.collect(0)
        assert gone() is None
