"""What is repeated beside a block ends with it, or by itself."""

from __future__ import annotations

import threading

import pytest

from phasediag.executors.repeating import repeating


def test_it_is_called_again_and_again_and_never_after_the_block() -> None:
    calls, thrice = [], threading.Event()

    def act() -> bool:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            thrice.set()
        return True

    with repeating(act, every_s=0.001, name="beat"):
        assert thrice.wait(10)
    made = len(calls)
    assert set(calls) == {"beat"}
    assert "beat" not in {thread.name for thread in threading.enumerate()}
    assert len(calls) == made


def test_a_call_that_asks_for_no_other_is_the_last() -> None:
    calls: list[int] = []

    def act() -> bool:
        calls.append(len(calls))
        return len(calls) < 2

    with repeating(act, every_s=0.001, name="beat"):
        (thread,) = [each for each in threading.enumerate() if each.name == "beat"]
        thread.join(10)
        assert not thread.is_alive()
    assert calls == [0, 1]


def test_a_block_that_raises_ends_it_too() -> None:
    with pytest.raises(KeyError), repeating(lambda: True, every_s=0.001, name="beat"):
        raise KeyError
    assert "beat" not in {thread.name for thread in threading.enumerate()}
