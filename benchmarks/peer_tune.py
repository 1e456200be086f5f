"""The peer Ray Tune, in a process of its own: one network a Tune trial.

python benchmarks/peer_tune.py WORK.npz --few 40 --many 120 --reuse

Prints one line of JSON: the losses of some trials after some steps, and the cost of one more Tune trial
between few and many. Without `--reuse` it is Tune as it comes: a function, an actor for each Tune trial,
and loggers.
"""

from __future__ import annotations

import json
import os

import baseline_ray_tune as baseline
import click
import peer_loops
from ray import tune

Config = dict[str, object]


def train(config: Config) -> float:
    path, trial, steps = config["work"], config["trial"], config["steps"]
    return peer_loops.train(str(path), int(str(trial)), int(str(steps)))


def as_it_comes(config: Config) -> None:
    tune.report({"loss": train(config)})


class Reused(tune.Trainable):
    """The actor stays for the next Tune trial."""

    def setup(self, config: Config) -> None:
        self.settings = config

    def step(self) -> Config:
        return {"loss": train(self.settings), "done": True}

    def reset_config(self, new_config: Config) -> bool:
        self.settings = new_config
        return True


def fitted(count: int, path: str, steps: int, reuse: bool) -> tuple[float, list[float]]:
    """Seconds that `count` Tune trials take, and the losses by trial."""
    space = {"work": path, "steps": steps, "trial": tune.grid_search(list(range(count)))}
    seconds, results = baseline.fit(Reused if reuse else as_it_comes, space, reuse)
    losses = {result.config["trial"]: result.metrics["loss"] for result in results}
    return seconds, [losses[trial] for trial in range(count)]


@click.command(help=__doc__)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@click.option("--few", required=True, type=int)
@click.option("--many", required=True, type=int)
@click.option("--steps", required=True, type=int, help="Of a timed trial.")
@click.option("--compared", required=True, type=int, help="Trials whose losses are told.")
@click.option("--compared-steps", required=True, type=int, help="Of those.")
@click.option("--reuse", is_flag=True)
@click.option("--workers", default=os.cpu_count() or 1)
def main(
    path: str, few: int, many: int, steps: int, compared: int, compared_steps: int, reuse: bool, workers: int
) -> None:
    if not reuse:
        del os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"]
    with baseline.local_ray(workers):
        _, losses = fitted(compared, path, compared_steps, reuse)
        slope = baseline.slope_of(lambda count: fitted(count, path, steps, reuse)[0], few, many)
    print(json.dumps({"losses": losses, "trial_s": slope.trial_s, "startup_s": slope.startup_s}))


if __name__ == "__main__":
    main()
