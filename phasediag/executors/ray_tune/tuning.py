"""What Ray Tune is given, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher

from phasediag.executors.dispatch import Dispatch
from phasediag.executors.ledger import MOST_PLACES
from phasediag.executors.ray_tune.trainable import PlaceTrainable
from phasediag.executors.ray_tune.waiting import lives, missing
from phasediag.running.job import Job, WorkerReport

LOOK_SECONDS: Final = 5.0
"""Between two looks at a cluster on which nothing trains."""
MOST_SHOWN: Final = 200
"""Characters of an error of Ray's."""
WANTED_SECONDS: Final = 2.0
"""Between two looks at whether more places would find work."""


class Reporter(tune.Callback):
    """Brings what places tell to the dispatch, and its answers to them."""

    def __init__(self, dispatch: Dispatch, resources: Mapping[str, float]) -> None:
        self.dispatch, self.resources = dispatch, resources
        self._look = time.monotonic() + LOOK_SECONDS

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take SIGUSR1 back: Tune would end without a drain. Tell what is missing where nothing trains."""
        watch = self.dispatch.watch
        watch.ending.keep_signals()
        if self.dispatch.places:
            watch.wait_for("")
        elif time.monotonic() > self._look:
            self._look = time.monotonic() + LOOK_SECONDS
            watch.wait_for(missing(self.resources))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Answer a report."""
        report: WorkerReport = result.pop("report")
        handle = result.pop("handle")
        claim = self.dispatch.answer(trial.trial_id, report)
        if claim is not None:
            handle.take.remote(claim)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Take in that a worker is gone; Tune starts another one where there is room."""
        place = self.dispatch.places.get(trial.trial_id)
        gone = place is not None and not lives(place.node)
        self.dispatch.lost(trial.trial_id, _error_of(trial), of_node=gone)


def _error_of(trial: Any) -> str:
    """The last line of what ended a Tune trial; which file holds it is not documented (Ray 2.59, 2.60)."""
    lines: list[str] = []
    with suppress(OSError, TypeError):
        text = Path(getattr(trial, "error_file", "")).read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].partition(". Worker exit type")[0][:MOST_SHOWN] if lines else "lost"


class Over(tune.Stopper):
    """Stops the experiment when nothing is left to train, or the launch drains."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop one place by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything."""
        return self.dispatch.over


class Places(Searcher):
    """Asks for a place whenever one more would find work: what Tune calls a suggestion.

    Places that cannot be had yet wait, and let a cluster grow.

    Parameters
    ----------
    present
        How many places there are on the nodes that are there now.
    """

    def __init__(self, dispatch: Dispatch, present: Callable[[], int]) -> None:
        super().__init__()
        self.dispatch, self.present, self.asked = dispatch, present, 0
        self._look, self._wanted = 0.0, 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its searcher for a restore that is never made."""
        return {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take whatever Tune is configured with: there is nothing to search for."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """One more place, or none now."""
        now = time.monotonic()
        if now > self._look + WANTED_SECONDS or not self.asked:
            self._look, self._wanted = now, self.dispatch.wanted(self.present())
        if self.asked >= self._wanted:
            return None
        self.asked += 1
        return {"place": self.asked}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing is learnt of it."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: there is no restore."""
        Path(checkpoint_path).write_bytes(b"")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


def tuner(
    dispatch: Dispatch, job: Job, present: Callable[[], int], scratch: str, resources: Mapping[str, float],
    tf32: bool,
) -> tune.Tuner:  # fmt: skip
    """Places as Tune trials.

    Parameters
    ----------
    present
        How many places there are on the nodes that are there now.
    scratch
        A folder for what Tune keeps of its own.
    resources
        `cpus` and `gpus` of a worker.
    """
    given = tune.with_parameters(PlaceTrainable, job=job, tf32=tf32, **resources)
    trainable = tune.with_resources(given, {"cpu": resources["cpus"], "gpu": resources["gpus"]})
    trainable.__name__ = trainable.__qualname__ = PlaceTrainable.__name__  # titles the worker processes
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(Places(dispatch, present), max_concurrent=MOST_PLACES),
            num_samples=-1,
        ),
        run_config=tune.RunConfig(
            name="places", storage_path=scratch, verbose=0, callbacks=[Reporter(dispatch, resources)],
            stop=Over(dispatch), failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )  # fmt: skip
