"""What Ray Tune is given, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ray import tune

from phasediag.executors.ray_tune.trainable import PackTrainable
from phasediag.executors.watch import LostPack, Watch
from phasediag.packing.pack import Pack
from phasediag.running.job import Breakdown, Job, Progress

WORKER_DEATHS: Final = 2
"""A pack is given to so many more workers after its first one died, before it counts as lost."""


class Reporter(tune.Callback):
    """Brings what Tune trials report to the watch."""

    def __init__(self, watch: Watch, packs: Mapping[str, Pack]) -> None:
        self.watch, self.packs = watch, packs
        self.lost: list[LostPack] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Take SIGUSR1 back: Tune would end without a drain, and tell of trials that failed."""
        self.watch.ending.keep_signals()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Report progress."""
        report: Progress | Breakdown = result["report"]
        if isinstance(report, Breakdown):
            self.watch.ending.fail(report)
        else:
            self.watch.report(trial.config["pack_id"], report)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Remember a pack whose workers died."""
        self.lost.append(LostPack(pack=self.packs[trial.config["pack_id"]], error=_error_of(trial)))


def _error_of(trial: Any) -> str:
    """The last line of what ended a Tune trial."""
    error = getattr(trial, "get_error", lambda: None)()  # no documented method gives it (Ray 2.59, 2.60)
    return next((line for line in reversed(str(error or "").splitlines()) if line.strip()), "lost")


class Drained(tune.Stopper):
    """Stops the experiment when the launch drains."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks for a restore that is never made."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop one Tune trial by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything."""
        return self.watch.ending.due()


def tuner(
    packs: Mapping[str, Pack], job: Job, watch: Watch, reporter: Reporter, scratch: str,
    resources: Mapping[str, float], tf32: bool,
) -> tune.Tuner:  # fmt: skip
    """Packs as Tune trials.

    Parameters
    ----------
    packs
        By pack_id.
    scratch
        A folder for what Tune keeps of its own.
    resources
        `cpus` and `gpus` of a worker.
    """
    given = tune.with_parameters(PackTrainable, packs=packs, job=job, tf32=tf32, **resources)
    trainable = tune.with_resources(given, {"cpu": resources["cpus"], "gpu": resources["gpus"]})
    trainable.__name__ = trainable.__qualname__ = PackTrainable.__name__  # titles the worker processes
    return tune.Tuner(
        trainable,
        param_space={"pack_id": tune.grid_search(list(packs))},
        tune_config=tune.TuneConfig(reuse_actors=True, metric="trials_done", mode="max"),
        run_config=tune.RunConfig(
            name="packs", storage_path=scratch, verbose=0, callbacks=[reporter], stop=Drained(watch),
            failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )  # fmt: skip
