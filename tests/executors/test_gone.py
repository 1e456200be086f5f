"""A cluster that is gone ends the launch; one that is late does not, nor a launch that stood still."""

from __future__ import annotations

import pytest

from phasediag.executors.ray_tune import gone
from phasediag.executors.ray_tune.gone import GONE_SECONDS, ClusterHead


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(gone.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What comes of each knock, the next one first."""
    coming = list[bool]()

    def knock(address: str, within: float) -> bool:
        if not coming.pop(0):
            raise ConnectionRefusedError
        return True

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(gone, "knock", knock)
    monkeypatch.setattr(gone.os, "_exit", ended)
    return coming


def test_a_cluster_that_does_not_answer_for_long_ends_the_process(
    now: list[float], answers: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    head = ClusterHead(address="1.2.3.4:6379", scratch="/nonexistent")
    answers += [True, False, False, False]
    assert head.look()
    assert head.look()
    now[0] += GONE_SECONDS - 1
    assert head.look()
    now[0] += 1
    with pytest.raises(SystemExit) as caught:
        head.look()
    assert caught.value.code == 3
    assert (
        "the Ray cluster at '1.2.3.4:6379' is gone; all that was recorded is kept" in capsys.readouterr().err
    )


def test_one_knock_in_vain_after_a_launch_stood_still_ends_nothing(
    now: list[float], answers: list[bool]
) -> None:
    """Before, the time since the last answer counted, in which nobody had knocked."""
    head = ClusterHead(address="1.2.3.4:6379", scratch="/nonexistent")
    answers += [True, False, True, False]
    assert head.look()
    now[0] += 10 * GONE_SECONDS
    assert head.look()
    assert head.look()
    now[0] += 10 * GONE_SECONDS
    assert head.look()
