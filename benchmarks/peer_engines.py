"""The engines that train whole tiles, behind one face: what a training takes, and the losses it ends at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import peer_batched
import peer_loops
import psutil
import torch
from peer_jobs import CPU
from peer_work import Array, Work, turn

from phasediag.training.tiles import Program, Tile
from phasediag.trial import Trials


class Timed(Protocol):
    """What takes turns."""

    def seconds(self, trials: int, seconds: float) -> float:
        """CPU seconds of one training of the first so many trials, the mean of a turn of so many seconds."""


class Engine(Timed, Protocol):
    """What trains tiles."""

    def losses(self, trials: int, steps: int) -> Array:
        """Losses of the first so many trials after so many steps."""


class Phasediag:
    """The engine through its public face."""

    def __init__(self, trials: Trials, timed_steps: int, compiled: bool = True) -> None:
        self.trials, self.timed_steps = trials, timed_steps
        self.program = Program(trials.record(0), Path(), CPU, compiled)
        self.warm: set[int] = set()

    def tile(self, trials: int) -> Tile:
        return self.program.tile(self.trials.take(np.arange(trials)))

    def losses(self, trials: int, steps: int) -> Array:
        tile = self.tile(trials)
        tile.advance(steps)
        return tile.losses()[0].numpy()

    def seconds(self, trials: int, seconds: float) -> float:
        def start() -> Callable[[], None]:
            tile = self.tile(trials)
            return lambda: tile.advance(self.timed_steps)

        if trials not in self.warm:
            start()()
            self.warm.add(trials)
        return turn(start, seconds)


class Batched:
    """The forward and backward pass by hand."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def losses(self, trials: int, steps: int) -> Array:
        tile = peer_batched.Tile(self.work, trials)
        tile.advance(steps)
        return tile.losses().numpy()

    def seconds(self, trials: int, seconds: float) -> float:
        def start() -> Callable[[], None]:
            tile = peer_batched.Tile(self.work, trials)
            return lambda: tile.advance(self.work.timed_steps)

        return turn(start, seconds)


class Loop:
    """One network after the other by plain PyTorch, as a process trains that has one network at a time."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def losses(self, trials: int, steps: int) -> Array:
        ended = ((trial, peer_loops.trained(self.work, trial, steps)) for trial in range(trials))
        return np.array([peer_loops.loss_of(self.work, trial, model) for trial, model in ended])

    def seconds(self, trials: int, seconds: float) -> float:
        return trials * turn(
            lambda: partial(peer_loops.trained, self.work, 0, self.work.timed_steps), seconds
        )


class Products:
    """The floor: it does the products alone."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def seconds(self, trials: int, seconds: float) -> float:
        products = peer_batched.Products(self.work, trials)
        products.advance(1)
        return turn(lambda: lambda: products.advance(self.work.timed_steps), seconds)


class Jax:
    """`peer_jax.py`, while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def losses(self, trials: int, steps: int) -> Array:
        return np.array(self._answer({"trials": trials, "steps": steps}))

    def seconds(self, trials: int, seconds: float) -> float:
        return float(self._answer({"trials": trials, "seconds": seconds}))

    def _answer(self, order: dict[str, float]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("peer_jax.py ended; what it says of it stands above")
        return json.loads(line)


@contextmanager
def jax_on(path: Path) -> Iterator[Jax]:
    """JAX on the work of a file, for the time of the block."""
    command = [sys.executable, str(Path(__file__).with_name("peer_jax.py")), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Jax(process)
        finally:
            process.kill()


@contextmanager
def one_core() -> Iterator[None]:
    """One thread, and on Linux one core for this process and the ones that it starts; then as before."""
    threads, process = torch.get_num_threads(), psutil.Process()
    cores = process.cpu_affinity() if psutil.LINUX else []
    torch.set_num_threads(1)
    if cores:
        process.cpu_affinity([max(cores)])
    try:
        yield
    finally:
        if cores:
            process.cpu_affinity(cores)
        torch.set_num_threads(threads)
