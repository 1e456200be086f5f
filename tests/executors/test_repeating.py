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
        assert thrice.wait(120)
    made = len(calls)
    assert set(calls) == {"beat"}
    assert "beat" not in {thread.name for thread in threading.enumerate()}
    assert len(calls) == made


def test_a_call_that_asks_for_no_other_is_the_last() -> None:
    threads: list[threading.Thread] = []
    twice = threading.Event()

    def act() -> bool:
        threads.append(threading.current_thread())
        if len(threads) == 2:
            twice.set()
        return not twice.is_set()

    with repeating(act, every_s=0.001, name="beat"):
        assert twice.wait(120)
        threads[0].join(120)
        assert not threads[0].is_alive()
    assert [thread.name for thread in threads] == ["beat", "beat"]


def test_a_block_that_raises_ends_it_too() -> None:
    with pytest.raises(KeyError), repeating(lambda: True, every_s=0.001, name="beat"):
        raise KeyError
    assert "beat" not in {thread.name for thread in threading.enumerate()}
