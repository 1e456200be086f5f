"""Compiling a pack's program in a process of its own, while the workers that will train it start."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import numpy as np
import torch

from phasediag.training.pack import Pack
from phasediag.training.tile_run import source_folder
from phasediag.training.train import Program
from phasediag.trial import Trials, Value

MODULE = "phasediag.training.ahead"


@contextmanager
def compiling_ahead(pack: Pack, sources: Mapping[str, bytes], threads: int) -> Iterator[None]:
    """Compile the program of a pack for the time of a block.

    What is compiled lands in the machine's cache, where workers find it; those that come early wait
    for it (`compiled_once`). If the process fails, the workers compile for themselves.

    Parameters
    ----------
    pack
        Gives the structure and the size of the tile.
    sources
        The user's files, by the name that the grid uses.
    threads
        Of a worker: programs for other numbers of threads differ.
    """
    size = max(2, pack.tile_size)
    trials = pack.trials.take(np.zeros(size, dtype=np.int64))
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError), process.stdin as pipe:
            told = (trials, dict(pack.envelope), dict(sources), threads, pack.shared)
            pickle.dump(told, pipe)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def compile_program(
    trials: Trials, envelope: Mapping[str, Value], sources: Mapping[str, bytes], threads: int, shared: bool
) -> None:
    """Compile the step of a tile of these trials by taking it once; `envelope` and `shared` as in `Pack`."""
    torch.set_num_threads(threads)
    folder, device = source_folder(sources), torch.device("cpu")
    program = Program(trials.record(0), folder, device, compiled=True, envelope=envelope)
    program.tile(trials, shared=shared).advance(1)


if __name__ == "__main__":
    compile_program(*pickle.load(sys.stdin.buffer))
