"""What workers train on: what a tile may take of it, and how fast it is projected to be."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import psutil
import torch

from phasediag.errors import in_words

FILLED: Final = 0.9
"""The share of a device's memory that a tile may take; the rest is for what comes and goes."""

OF_NAMES: Final = (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""Errors of a file's name, which may be a trial's own; all others of files are the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One worker's share of a processor or of a GPU, as projections see it."""

    tile_bytes: float
    """Largest working set of a tile."""
    largest_tile: int
    """Trials."""
    seconds_per_flop: float
    """How long an operation of a product takes in float32."""
    seconds_per_number: Mapping[bool, float]
    """Time of one elementwise number in float32 a step: eager (False), compiled (True)."""
    seconds_per_call: Mapping[bool, float]
    """Fixed time of a step, however small the tile: eager, compiled."""
    compile_seconds: Mapping[bool, float]
    """What the first program of a structure costs: by torch.compile (False), natively (True)."""
    further_seconds: Mapping[bool, float]
    """What a further program costs, once the compiler is loaded: joining two structures saves it."""
    fixed_bytes: float = 0.0
    """What its libraries take, however small the tile."""


CPU: Final = Machine(
    tile_bytes=14 * 2**20, largest_tile=4096, seconds_per_flop=1.3e-11,
    seconds_per_number={False: 5.5e-9, True: 8e-10}, seconds_per_call={False: 8e-4, True: 1e-6},
    compile_seconds={False: 14.0, True: 3.0}, further_seconds={False: 9.0, True: 2.5},
)  # fmt: skip
"""One core, compiled natively. Uncompiled, larger working sets run slower, out of the shared cache."""
GPU: Final = Machine(
    tile_bytes=FILLED / 2 * 80 * 2**30, largest_tile=2**16 - 1, seconds_per_flop=5e-14,
    seconds_per_number={False: 1.5e-11, True: 2.6e-12}, seconds_per_call={False: 2e-3, True: 6e-5},
    compile_seconds=dict.fromkeys((False, True), 20.0), further_seconds=dict.fromkeys((False, True), 5.0),
    fixed_bytes=160 * 2**20,
)  # fmt: skip
"""A GPU of 80 GiB that is as fast as an H200, on which these times were measured (docs/gpu.md). The tile
fills the memory, of which a trial is projected to take twice its working set; a worker whose GPU has less
takes smaller tiles (`room`). The products of a tile are one batch, which a grid of thread blocks holds to
65,535."""


def machine_of(gpus: float) -> Machine:
    """What a worker with so many GPUs trains on: a processor core, a part of a GPU, or one."""
    part = min(1.0, gpus)
    if not part:
        return CPU
    return replace(
        GPU, tile_bytes=GPU.tile_bytes * part, seconds_per_flop=GPU.seconds_per_flop / part,
        seconds_per_number={mode: each / part for mode, each in GPU.seconds_per_number.items()},
    )  # fmt: skip


def machine_here(gpus: float, device: torch.device) -> Machine:
    """What a worker with so many GPUs trains on, here: a GPU may have less memory than planned."""
    if device.type != "cuda":
        return CPU
    machine, share = machine_of(gpus), torch.cuda.get_per_process_memory_fraction()
    total = share * torch.cuda.get_device_properties(device).total_memory
    return replace(machine, tile_bytes=min(machine.tile_bytes, FILLED / 2 * total))


def device_of(gpus: float, tf32: bool = False) -> torch.device:
    """The GPU where one is asked for and there is one, else the CPU.

    On a GPU this process takes no more than its part of the memory, so that those who share it each have
    theirs; products of float32 are rounded to TF32 where that is asked for, else nowhere.

    Parameters
    ----------
    gpus
        Of one worker.
    tf32
        Whether the factors of products may be rounded to 10 bits of mantissa.
    """
    if not gpus or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.cuda.set_per_process_memory_fraction(min(1.0, gpus))
    return torch.device("cuda")


def room(device: torch.device) -> float:
    """Bytes that a tile may take on a device now: of a GPU, out of this process's part of it."""
    if device.type != "cuda":
        return FILLED * float(psutil.virtual_memory().available)
    free, total = torch.cuda.mem_get_info(device)
    part = torch.cuda.get_per_process_memory_fraction() * total
    return FILLED * float(min(part, free + torch.cuda.memory_reserved(device)))


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that the clock tells its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fault_of(error: BaseException) -> str:
    """What the machine is at fault for where training raised an error; empty where that may be the trial."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, OSError) and each.errno not in OF_NAMES:
            return in_words(each)
        if "can't start new thread" in str(each):
            return "no further thread can be started; let there be more processes: `ulimit -u`"
        each = each.__cause__
    return ""
