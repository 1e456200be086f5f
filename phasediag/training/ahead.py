"""Compiling a pack's program in a process of its own, while the workers that will train it start."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from phasediag.training.pack import Pack
    from phasediag.trial import Trials, Value

MODULE = "phasediag.training.ahead"


class Compiler:
    """A process that compiles one program; to be closed.

    It may be started before it is known which program: importing the compiler takes it seconds, and
    this module, which imports nothing, none. What it compiles lands in the machine's cache, where
    workers find it; those that come early wait for it (`compiled_once`). If it fails, the workers
    compile for themselves.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def compile(self, pack: Pack, sources: Mapping[str, bytes], threads: int) -> None:
        """Begin to compile the program of a pack.

        Parameters
        ----------
        pack
            Gives the structure and the size of the tile.
        sources
            The user's files, by the name that the grid uses.
        threads
            Of a worker: programs for other numbers of threads differ.
        """
        import numpy as np

        trials = pack.trials.take(np.zeros(max(2, pack.tile_size), dtype=np.int64))
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            told = (trials, dict(pack.envelope), dict(sources), threads, pack.shared)
            pickle.dump(told, pipe)

    def close(self) -> None:
        """End the process, whatever it is doing; nothing where it has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def compile_program(
    trials: Trials, envelope: Mapping[str, Value], sources: Mapping[str, bytes], threads: int, shared: bool
) -> None:
    """Compile the step of a tile of these trials by taking it once; `envelope` and `shared` as in `Pack`."""
    import torch

    from phasediag.training.tile_run import source_folder
    from phasediag.training.train import Program

    torch.set_num_threads(threads)
    folder, device = source_folder(sources), torch.device("cpu")
    program = Program(trials.record(0), folder, device, compiled=True, envelope=envelope)
    program.tile(trials, shared=shared).advance(1)


def serve() -> None:
    """Import what compiling takes while what all programs use is built; then compile what stdin asks for."""
    import_module("torch._inductor.codecache")
    building = Thread(target=import_module("phasediag.training.products").build)
    building.start()
    for module in ("torch._inductor.compile_fx", "phasediag.training.train"):
        import_module(module)
    building.join()
    with suppress(EOFError):
        compile_program(*pickle.load(sys.stdin.buffer))


if __name__ == "__main__":
    serve()
