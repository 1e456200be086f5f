"""Arrays and plain values as one text that a page's script reads back bit by bit."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

TYPES: Final = ("uint8", "uint16", "uint32", "float64")
"""Types of arrays, by the names that the script knows."""
_ALIGNED: Final = 8


def embedded(plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Plain values and arrays, deflated and in base 64.

    Inflated, it is four bytes with the length of the head, the head, padded with blanks to a multiple of 8,
    and the arrays, little end first, each padded likewise. The head is JSON: `plain`, with `arrays` besides:
    name to [type, byte after the head, number of values]; arrays lie in C order.

    Parameters
    ----------
    plain
        Values that JSON knows; numbers that are not finite must have been made null.
    arrays
        Of the types of `TYPES`.
    """
    places: dict[str, tuple[str, int, int]] = {}
    blocks: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        assert array.dtype.name in TYPES, (name, array.dtype)
        block = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        places[name] = (array.dtype.name, offset, array.size)
        block += bytes(-len(block) % _ALIGNED)
        blocks.append(block)
        offset += len(block)
    head = json.dumps({**plain, "arrays": places}, allow_nan=False).encode()
    head += b" " * (-(len(head) + 4) % _ALIGNED)
    content = len(head).to_bytes(4, "little") + head + b"".join(blocks)
    return base64.b64encode(zlib.compress(content, 9)).decode()


def smallest(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
    """Whole numbers from 0 on in the smallest type of `TYPES` that holds them. Any shape, kept."""
    most = int(values.max(initial=0))
    for name in TYPES[:3]:
        if most <= np.iinfo(name).max:
            return values.astype(name)
    raise ValueError(f"{most} is larger than any embedded number")
