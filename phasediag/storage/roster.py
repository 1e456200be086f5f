"""The trials that a grid asks for, kept beside it: nobody need read and hash the grid again.

`grids/0001.ids.parquet` is a cache of what `grids/0001.yaml` expands to: 16 bytes a trial for its id,
next to nothing for the parameters that vary, and those that are constant in the metadata. It counts
only for the very grid, engine and code that it was written from; whoever finds none that counts
expands the grid.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from phasediag.registry import KINDS
from phasediag.storage.folder import Buffer
from phasediag.storage.schema_arrow import SCHEMA_VERSION, parameter_type
from phasediag.storage.seal import State, UnsoundError, seal_of, sealed
from phasediag.trial import ENGINE, Parameter, Trials
from phasediag.version import VERSION

ROSTER: Final = ".ids.parquet"
ID: Final = "trial_id"
ID_BYTES: Final = 16
"""An id as bytes; also what a trial takes of the file, its parameters being next to nothing."""
_LAYOUT: Final = 2
_CODE: Final = (
    "trial.py", "identity.py", "parameters.py", "registry.py", "user_code/*.py", "grids/*.py",
    *(f"{kind}s/*.py" for kind in KINDS),
)  # fmt: skip
"""What decides which trials a grid has, and their ids: defaults, rules, axes."""
_CONSTANT: Final = b"phasediag_constant"
_GIVEN: Final = b"phasediag_given"
_SOURCES: Final = b"phasediag_sources"


def roster_name(grid: str) -> str:
    """The file that holds the roster of a grid: `0001.ids.parquet` of `0001.yaml`."""
    return f"{PurePosixPath(grid).stem}{ROSTER}"


def roster_state(content: bytes) -> tuple[Literal["intact", "unsealed"] | State, str]:
    """The state of a file that holds a roster, and why it is so; one that is unsealed does not count."""
    try:
        seal, _ = seal_of(memoryview(content), len(content))
        if seal is None:
            return "unsealed", ""
        seal.check(memoryview(content)[: seal.end])
    except UnsoundError as error:
        return ("unsealed", "") if error.state == "foreign" else (error.state, error.why)
    return "intact", ""


def key_of(text: str, sources: Mapping[str, str]) -> bytes:
    """What a roster must have been written from to count: grid, hashes of user files, engine and code."""
    parts = (_LAYOUT, ENGINE, VERSION, _code(), text, sorted(sources.items()))
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest().encode()


@cache
def _code() -> str:
    """A hash of the modules that expand grids: a default may change while the version does not."""
    package = Path(__file__).parents[1]
    digest = blake2b(digest_size=16)
    for path in sorted(path for pattern in _CODE for path in package.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def roster_of(
    trials: Trials, parameters: Mapping[str, Parameter], given: Iterable[str], sources: Mapping[str, str]
) -> pa.Table:
    """The trials of a grid as they are kept: ids as 16 bytes, and every parameter that varies.

    Parameters
    ----------
    parameters
        Of the grid.
    given
        The parameters that its axes and points give values to.
    sources
        What stands for the files of each class that is the user's, by the value that names it.
    """
    count = len(trials)
    digests = bytes.fromhex("".join(trials.trial_id.tolist()))
    columns: dict[str, pa.Array] = {
        ID: pa.FixedSizeBinaryArray.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(digests)])
    }
    constant: dict[str, Any] = {}
    for name, column in trials.columns.items():
        if column.codes is None:
            constant[name] = column.pool[0]
        else:
            pool = pa.array(list(column.pool), parameter_type(parameters[name]))
            columns[name] = pool.take(pa.array(column.codes))
    metadata = {
        _CONSTANT: json.dumps(constant).encode(), _GIVEN: json.dumps(sorted(given)).encode(),
        _SOURCES: json.dumps(dict(sources)).encode(),
    }  # fmt: skip
    return pa.table(columns).replace_schema_metadata(metadata)


def roster_file(roster: pa.Table, key: bytes) -> Buffer:
    """A roster as the bytes of a sealed Parquet file."""
    sink = pa.BufferOutputStream()
    names = [name for name in roster.column_names if name != ID]
    pq.write_table(
        roster, sink, compression={name: "zstd" if name != ID else "none" for name in roster.column_names},
        use_dictionary=names, write_statistics=False,
    )  # fmt: skip
    return b"".join(sealed(memoryview(sink.getvalue()), sweep="", file=key.decode(), schema=SCHEMA_VERSION))


def read_roster(content: bytes, key: bytes, columns: Collection[str] | None = None) -> pa.Table | None:
    """The trials in a file, unpacked; None where it is damaged or was written from something else.

    Parameters
    ----------
    key
        `key_of` the grid as it stands in the store.
    columns
        As for `unpacked`.
    """
    try:
        seal, _ = seal_of(memoryview(content), len(content))
        if seal is None or seal.file != key.decode():
            return None
        seal.check(memoryview(content)[: seal.end])
        file = pq.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
        packed = file.read([n for n in schema.names if n == ID or columns is None or n in columns])
        return unpacked(packed.replace_schema_metadata(schema.metadata), columns)
    except (UnsoundError, OSError, ValueError, KeyError, pa.ArrowException):
        return None


def unpacked(packed: pa.Table, columns: Collection[str] | None = None) -> pa.Table:
    """The trials of `roster_of` with their ids as text and what is constant repeated.

    Parameters
    ----------
    columns
        The columns wanted besides `trial_id`; one that the grid does not know is left out. None: all.
    """
    metadata = packed.schema.metadata
    constant: dict[str, Any] = json.loads(metadata[_CONSTANT])
    arrays = {ID: hexadecimal(packed[ID].combine_chunks())}
    for name in packed.column_names[1:]:
        if columns is None or name in columns:
            arrays[name] = packed[name]
    for name, value in constant.items():
        if columns is None or name in columns:
            arrays[name] = (
                pa.nulls(len(packed)) if value is None else pa.repeat(pa.scalar(value), len(packed))
            )
    return pa.table(arrays).replace_schema_metadata({name: metadata[name] for name in (_GIVEN, _SOURCES)})


def given_of(roster: pa.Table) -> frozenset[str]:
    """The parameters that the axes and points of its grid give values to."""
    return frozenset(json.loads(roster.schema.metadata[_GIVEN]))


def sources_of(roster: pa.Table) -> dict[str, str]:
    """What stands for the files of each class of its grid that is the user's, by their names."""
    sources: dict[str, str] = json.loads(roster.schema.metadata[_SOURCES])
    return sources


def hexadecimal(digests: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Bytes as text of two letters each, as ids stand in `trials`."""
    letters = _bytes(digests).hex().encode()
    ends = np.arange(len(digests) + 1, dtype=np.int32) * (2 * digests.type.byte_width)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(ends), pa.py_buffer(letters))


def _bytes(digests: pa.FixedSizeBinaryArray) -> memoryview:
    size = digests.type.byte_width
    start = digests.offset * size
    return memoryview(digests.buffers()[1] or b"")[start : start + len(digests) * size]
