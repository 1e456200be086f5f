"""Distances of neurons by loops of our own: `torch.cdist` is slow for many small matrices."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

from phasediag.native.building import ADDRESS, INTEGER, library, suits
from phasediag.native.lowering import UnsupportedError
from phasediag.native.source import DISTANCES, HEAD, MERGING, TYPES, VECTORS
from phasediag.native.threads import shared_out

NUMBERS: Final[dict[torch.dtype, Any]] = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
"""The dtypes that there are loops for."""
STRIP: Final = 16
"""Neurons are padded to a multiple of it."""
STRIP_BYTES: Final = 64
"""Bytes of one number for each of the neurons whose distances are computed together."""


def available(tensor: Tensor) -> bool:
    """Whether the loops can be had for a tensor: on a processor that native programs can be made for."""
    return tensor.device.type == "cpu" and tensor.dtype in NUMBERS and _loops(tensor.dtype) is not None


def pairs(vectors: Tensor, *, flips: bool) -> Tensor:
    """Distances of all pairs of neurons of each trial.

    Parameters
    ----------
    vectors
        Shape (trials, width, numbers), of a dtype in `NUMBERS`.
    flips
        Whether the distance is the smaller one of that from the other neuron and from its negative.

    Returns
    -------
    Shape (trials, width, width).
    """
    vectors = vectors.contiguous()
    trials, width, numbers = vectors.shape
    separations = vectors.new_empty(trials, width, width)
    run = _loop("either_sign" if flips else "same_sign", vectors.dtype)

    strip = STRIP_BYTES // vectors.element_size()

    def part(first: int, last: int) -> None:
        scratch = vectors.new_empty(numbers * strip)
        run(first, last, width, numbers, *(t.data_ptr() for t in (vectors, separations, scratch)))

    shared_out(part, trials * -(-width // strip))
    return separations


def insertions(pairs: Tensor, norms: Tensor, order: Tensor, tied: float) -> Tensor:
    """Insertion distances of the farthest-first traversal of each trial that starts at the origin.

    Parameters
    ----------
    pairs
        Distances of the neurons, shape (trials, width, width).
    norms
        Their distances from the origin, shape (trials, width).
    order
        Which of equally far neurons comes first: their positions, int64, shape (trials, width).
    tied
        Part of the largest distance from which on another one equals it.

    Returns
    -------
    Descending, shape (trials, width).
    """
    held = [pairs.contiguous(), norms.contiguous(), order.contiguous()]
    trials, width = norms.shape
    gaps = norms.new_empty(trials, width)
    run = _loop("farthest_first", norms.dtype)

    def part(first: int, last: int) -> None:
        scratch = norms.new_empty(width)
        run(first, last, width, tied, *(t.data_ptr() for t in (*held, gaps, scratch)))

    shared_out(part, trials)
    return gaps


def spanning_tree(pairs: Tensor) -> Tensor:
    """Lengths of the edges of the minimum spanning tree of each trial's neurons.

    Parameters
    ----------
    pairs
        Distances of the neurons, finite, shape (trials, width, width).

    Returns
    -------
    In no order, shape (trials, width - 1).
    """
    pairs = pairs.contiguous()
    trials, width, _ = pairs.shape
    lengths = pairs.new_empty(trials, width - 1)
    run = _loop("spanning_tree", pairs.dtype)

    def part(first: int, last: int) -> None:
        scratch = pairs.new_empty(3 * -(-width // STRIP) * STRIP)
        run(first, last, width, *(t.data_ptr() for t in (pairs, lengths, scratch)))

    shared_out(part, trials)
    return lengths


def merged_rays(vectors: Tensor, turned: int) -> Tensor:
    """Distances at which neurons merge along their rays, the nearest two clusters first, and the last's norm.

    Parameters
    ----------
    vectors
        Float64, finite, shape (trials, width, numbers).
    turned
        How many leading numbers of each neuron may change their sign together.

    Returns
    -------
    Ascending, float64, shape (trials, width).
    """
    vectors = vectors.contiguous()
    trials, width, numbers = vectors.shape
    distances = vectors.new_empty(trials, width)
    run = _loop("merge_rays", vectors.dtype)

    def part(first: int, last: int) -> None:
        scratch = vectors.new_empty(width * (numbers + width + 6))
        nearest_to = torch.empty(width, dtype=torch.int64)
        held = (vectors, distances, scratch, nearest_to)
        run(first, last, width, numbers, turned, *(t.data_ptr() for t in held))

    shared_out(part, trials)
    return distances


@cache
def _loops(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled loops for a dtype; None where they cannot be had."""
    if not suits():
        return None
    number = f"#define NUMBER {TYPES[dtype]}\n"
    parts = (VECTORS, DISTANCES, MERGING)
    try:
        loops = library("".join([HEAD, number, *(part.read_text(encoding="utf-8") for part in parts)]))
    except UnsupportedError:
        return None
    for loop in (loops.same_sign, loops.either_sign):
        loop.argtypes, loop.restype = [*[INTEGER] * 4, *[ADDRESS] * 3], None
    loops.farthest_first.argtypes = [*[INTEGER] * 3, NUMBERS[dtype], *[ADDRESS] * 5]
    loops.farthest_first.restype = None
    loops.spanning_tree.argtypes, loops.spanning_tree.restype = [*[INTEGER] * 3, *[ADDRESS] * 3], None
    loops.merge_rays.argtypes, loops.merge_rays.restype = [*[INTEGER] * 5, *[ADDRESS] * 4], None
    return loops


def _loop(name: str, dtype: torch.dtype) -> Callable[..., None]:
    loop: Callable[..., None] = getattr(_loops(dtype), name)
    return loop
