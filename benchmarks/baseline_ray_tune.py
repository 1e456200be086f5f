"""Ray Tune at its best practice, one network a Tune trial: what phasediag is measured against.

The job: an MLP of 5 weight layers, 20 inputs, 10 outputs, tanh, width 16 (or another), batch 32, 1,000
samples, plain SGD with weight decay, 1,000 steps. Class trainable, `reuse_actors=True`, one thread a worker,
loggers and checkpoints off.

python benchmarks/baseline_ray_tune.py --few 40 --many 120
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

os.environ.update(
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
)

import click
import numpy as np
import ray
import torch
from ray import tune

INPUTS: Final = 20
OUTPUTS: Final = 10
WIDTH: Final = 16
DEPTH: Final = 5
SAMPLES: Final = 1000
BATCH: Final = 32
STEPS: Final = 1000

Config = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Cost of one more Tune trial, start-up apart."""

    trial_s: float
    """(time of many - time of few) / (many - few), in seconds."""
    startup_s: float
    """What is left of the time of `few`."""


def network(width: int) -> torch.nn.Sequential:
    """An MLP of DEPTH weight layers, tanh between them."""
    sizes = [INPUTS, *[width] * (DEPTH - 1), OUTPUTS]
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def train(config: Config) -> float:
    """One trial as anyone would write it: the last batch's loss."""
    torch.manual_seed(config["seed"])
    x = torch.randn(SAMPLES, INPUTS)
    with torch.no_grad():
        y = network(4)(x)
    y += config["label_noise"] * torch.randn_like(y)
    model = network(config["width"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(config["init_scale"])
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config["lr_over_batch"] * BATCH, weight_decay=config["weight_decay"]
    )
    for _ in range(STEPS):
        rows = torch.randint(SAMPLES, (BATCH,))
        loss = (model(x[rows]) - y[rows]).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


class OneNetwork(tune.Trainable):
    """One network a Tune trial; the actor is reused for the next."""

    def setup(self, config: Config) -> None:
        torch.set_num_threads(1)
        self.settings = config["trial"]

    def step(self) -> Config:
        return {"loss": train(self.settings), "done": True}

    def reset_config(self, new_config: Config) -> bool:
        self.settings = new_config["trial"]
        return True


def settings(count: int, width: int = WIDTH) -> list[Config]:
    """`count` trials of a width spread over the four axes of the benchmark's grid."""
    rng = np.random.default_rng(0)
    low_high = {"weight_decay": (1e-3, 1e-1), "lr_over_batch": (1e-4, 1e-3), "label_noise": (1e-2, 1.0)}
    drawn = {
        name: np.exp(rng.uniform(np.log(low), np.log(high), count)) for name, (low, high) in low_high.items()
    }
    drawn["init_scale"] = rng.uniform(0.5, 1.5, count)
    return [
        {name: float(v[i]) for name, v in drawn.items()} | {"seed": i, "width": width} for i in range(count)
    ]


def plain_loop_s(count: int, width: int = WIDTH) -> float:
    """Seconds a trial in this process, without Ray, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trials = settings(count + 1, width)
    train(trials.pop())
    start = time.perf_counter()
    for trial in trials:
        train(trial)
    torch.set_num_threads(threads)
    return (time.perf_counter() - start) / count


def fit(trainable: Any, space: Config, reuse_actors: bool) -> tuple[float, tune.ResultGrid]:
    """Seconds that `tuner.fit` takes on the Ray that is running, and what it gives."""
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
            run_config=tune.RunConfig(
                storage_path=storage,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        start = time.perf_counter()
        results = tuner.fit()
        wall = time.perf_counter() - start
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} of {len(results)} Tune trials failed: {results.errors[:1]}")
    return wall, results


def tune_s(count: int, width: int = WIDTH) -> float:
    """Seconds that `count` Tune trials take on the Ray that is running."""
    wall, results = fit(OneNetwork, {"trial": tune.grid_search(settings(count, width))}, reuse_actors=True)
    if len(results) != count:
        raise RuntimeError(f"{len(results)} Tune trials ran, not {count}")
    return wall


@contextmanager
def local_ray(workers: int) -> Iterator[None]:
    """A Ray of this machine, for the time of the block."""
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    # Without loggers Tune warns of every Tune trial that it has no file of results; they are in memory.
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def slope_of(seconds_of: Callable[[int], float], few: int, many: int) -> Slope:
    """The cost of a Tune trial between two runs that differ in nothing but their number."""
    few_s, many_s = seconds_of(few), seconds_of(many)
    trial_s = (many_s - few_s) / (many - few)
    return Slope(trial_s=trial_s, startup_s=few_s - few * trial_s)


def slope(few: int, many: int, workers: int, width: int = WIDTH) -> Slope:
    """Measure the cost of a Tune trial at best practice."""
    with local_ray(workers):
        return slope_of(partial(tune_s, width=width), few, many)


@click.command(help=__doc__)
@click.option("--few", default=40, show_default=True)
@click.option("--many", default=120, show_default=True)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
@click.option("--width", default=WIDTH, show_default=True)
def main(few: int, many: int, workers: int, width: int) -> None:
    measured = slope(few, many, workers, width)
    click.echo(
        f"{measured.trial_s:.3f} s a trial on {workers} workers, start-up {measured.startup_s:.1f} s; "
        f"plain loop {plain_loop_s(5, width):.3f} s a trial in one process"
    )


if __name__ == "__main__":
    main()
