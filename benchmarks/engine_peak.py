"""The most multiply-adds that this machine does: fused ones on registers, and nothing else."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import torch

from phasediag.native.building import library

CHAINS: Final = 12
"""Sums side by side: a core starts two fused multiply-adds a cycle at most, each ready after four or five."""
ROUNDS: Final = 200_000
"""Of one call: about a millisecond."""
DTYPES: Final = {"float": torch.float32, "double": torch.float64}
TEXT: Final = f"""\
typedef long long i64;
template <class number, int BYTES>
static inline number chained(i64 rounds, number kept, number added) {{
  typedef number vector __attribute__((vector_size(BYTES)));
  vector sums[{CHAINS}];
  for (int c = 0; c < {CHAINS}; ++c) sums[c] = vector{{}} + number(c);
  for (i64 round = 0; round < rounds; ++round)
    _Pragma("GCC unroll {CHAINS}") for (int c = 0; c < {CHAINS}; ++c) sums[c] = sums[c] * kept + added;
  vector total = vector{{}};
  for (int c = 0; c < {CHAINS}; ++c) total += sums[c];
  return total[0];
}}
#define LOOP(name, number, BYTES) \\
  extern "C" double name(i64 rounds, double kept, double added) {{ \\
    return chained<number, BYTES>(rounds, number(kept), number(added)); \\
  }}
LOOP(float_32, float, 32)
LOOP(double_32, double, 32)
#ifdef __AVX512F__
LOOP(float_64, float, 64)
LOOP(double_64, double, 64)
#endif
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One loop of fused multiply-adds."""

    dtype: torch.dtype
    vector_bytes: int
    call: Callable[[], None]

    @property
    def operations(self) -> float:
        """Of one call; a multiplication and an addition are two."""
        return 2.0 * ROUNDS * CHAINS * self.vector_bytes / self.dtype.itemsize

    @property
    def name(self) -> str:
        """As the tables have it."""
        vectors = {32: "AVX2", 64: "AVX-512"}[self.vector_bytes]
        return f"{vectors}, {str(self.dtype).removeprefix('torch.')}"


def peaks() -> list[Peak]:
    """The loops that there are for this processor."""
    loops, made = library(TEXT), []
    for kind, dtype in DTYPES.items():
        for size in (32, 64):
            loop = getattr(loops, f"{kind}_{size}", None)
            if loop is not None:
                made.append(Peak(dtype=dtype, vector_bytes=size, call=_call(loop)))
    return made


def _call(loop: Callable[..., float]) -> Callable[[], None]:
    loop.argtypes, loop.restype = [ctypes.c_longlong, *[ctypes.c_double] * 2], ctypes.c_double  # type: ignore[attr-defined]

    def call() -> None:
        loop(ROUNDS, 0.999, 0.001)

    return call


def rate(peak: Peak, seconds: float) -> float:
    """Operations of a second of this thread's time."""
    calls, start = 0, time.thread_time()
    while time.thread_time() - start < seconds:
        peak.call()
        calls += 1
    return calls * peak.operations / (time.thread_time() - start)


def rate_of_all(peak: Peak, seconds: float, cores: int) -> float:
    """The same for the mean of so many threads that run at once: processors may share a core."""
    with ThreadPoolExecutor(cores) as pool:
        rates = list(pool.map(lambda _: rate(peak, seconds), range(cores)))
    return sum(rates) / cores
