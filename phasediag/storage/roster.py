"""The trials that a grid asks for, kept beside it: nobody need read and hash the grid again.

`grids/0001.ids.parquet` is a cache of what `grids/0001.yaml` expands to: `ID_BYTES` a trial for its id,
next to nothing for the parameters that vary, and those that are constant in the metadata. It counts
only for the very grid, engine and code that it was written from; whoever finds none that counts
expands the grid.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from phasediag.identity import ID_BYTES as ID_BYTES
from phasediag.identity import Digests, digests_of_text
from phasediag.storage.folder import BytesLike
from phasediag.storage.schema_arrow import SCHEMA_VERSION, parameter_type
from phasediag.storage.seal import UnsoundError, UnsoundState, seal_of, sealed
from phasediag.trial import ENGINE, KINDS, Parameter, TextArray
from phasediag.version import VERSION

if TYPE_CHECKING:
    from phasediag.grids.lot import Lot

ROSTER: Final = ".ids.parquet"
ID: Final = "trial_id"
_LAYOUT: Final = 2
_CODE: Final = (
    "values.py", "trial.py", "identity.py", "parameters.py", "registry.py", "user_code/*.py", "grids/*.py",
    *(f"{kind}s/*.py" for kind in KINDS),
)  # fmt: skip
"""What decides which trials a grid has, and their ids: defaults, rules, axes."""
_CONSTANT: Final = b"phasediag_constant"
_GIVEN: Final = b"phasediag_given"
_SOURCES: Final = b"phasediag_sources"


def roster_name(grid: str) -> str:
    """The file that holds the roster of a grid: `0001.ids.parquet` of `0001.yaml`."""
    return f"{PurePosixPath(grid).stem}{ROSTER}"


def roster_state(content: bytes) -> tuple[Literal["intact", "unsealed"] | UnsoundState, str]:
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roster:
    """The trials of a grid as they are kept, block by block: ids as bytes, and what varies."""

    lot: Lot
    parameters: Mapping[str, Parameter]
    """The parameters of the grid."""
    given: frozenset[str]
    """The parameters that its axes and points give values to."""
    sources: Mapping[str, str]
    """What stands for the files of each class that is the user's, by the value that names it."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of each block, with what is constant in the metadata."""
        constant = self.lot.expansion.constant
        varied = [name for name in self.lot.expansion.names if name not in constant]
        fields = [(name, parameter_type(self.parameters[name])) for name in varied]
        metadata = {
            _CONSTANT: json.dumps(constant).encode(), _GIVEN: json.dumps(sorted(self.given)).encode(),
            _SOURCES: json.dumps(dict(self.sources)).encode(),
        }  # fmt: skip
        return pa.schema([(ID, pa.binary(ID_BYTES)), *fields], metadata=metadata)

    def tables(self) -> Iterator[pa.Table]:
        """The blocks."""
        schema, digests, start = self.schema, self.lot.digests(), 0
        for block in self.lot.blocks():
            count = len(block)
            own = pa.py_buffer(np.ascontiguousarray(digests[start : start + count]))
            arrays = [pa.FixedSizeBinaryArray.from_buffers(pa.binary(ID_BYTES), count, [None, own])]
            for field in list(schema)[1:]:
                column = block.columns[field.name]
                codes = np.zeros(count, dtype=np.int64) if column.codes is None else column.codes
                arrays.append(pa.array(list(column.pool), field.type).take(pa.array(codes)))
            start += count
            yield pa.table(arrays, schema=schema)


def roster_file(roster: Roster, key: bytes) -> tuple[BytesLike, ...]:
    """A roster as the parts of a sealed Parquet file."""
    sink, schema = BytesIO(), roster.schema
    names = [name for name in schema.names if name != ID]
    with pq.ParquetWriter(
        sink, schema, compression={name: "zstd" if name != ID else "none" for name in schema.names},
        use_dictionary=names, write_statistics=False,
    ) as writer:  # fmt: skip
        for table in roster.tables():
            writer.write_table(table, row_group_size=len(table))
    return sealed(sink.getbuffer(), sweep="", file=key.decode(), schema=SCHEMA_VERSION)


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
    """The trials of `Roster.tables` with their ids as text and what is constant repeated.

    Parameters
    ----------
    columns
        The columns wanted besides `trial_id`; one that the grid does not know is left out. None: all.
    """
    metadata = packed.schema.metadata
    constant: dict[str, Any] = json.loads(metadata[_CONSTANT])
    arrays = {ID: pa.chunked_array([ids_of(_bytes_of(chunk)) for chunk in packed[ID].chunks], pa.string())}
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


def ids_of(digests: Digests) -> pa.StringArray:
    """Ids as text, as they stand in `trials`: two letters a byte."""
    letters = np.ascontiguousarray(digests).tobytes().hex().encode()
    ends = np.arange(len(digests) + 1, dtype=np.int32) * (2 * ID_BYTES)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(ends), pa.py_buffer(letters))


def digests_of(ids: pa.Array | pa.ChunkedArray | TextArray | Sequence[str]) -> Digests:
    """Ids as bytes from their text; what is no id is taken for one of zeros alone, which no trial has."""
    made = [np.zeros((0, ID_BYTES), dtype=np.uint8)]
    texts = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        of_id = pc.fill_null(pc.equal(pc.binary_length(chunk), 2 * ID_BYTES), False)
        if not pc.all(of_id).as_py():
            chunk = pc.if_else(of_id, chunk, "-" * 2 * ID_BYTES)
        letters = np.frombuffer(chunk.buffers()[2] or b"", dtype=np.uint8)
        start = 2 * ID_BYTES * chunk.offset
        made.append(digests_of_text(letters[start : start + 2 * ID_BYTES * len(chunk)]))
    return np.concatenate(made)


def _bytes_of(ids: pa.FixedSizeBinaryArray) -> Digests:
    """The bytes of ids, as they lie in an array of Arrow."""
    start, stop = ID_BYTES * ids.offset, ID_BYTES * (ids.offset + len(ids))
    digests = np.frombuffer(ids.buffers()[1] or b"", dtype=np.uint8)[start:stop]
    return digests.reshape(-1, ID_BYTES)
