"""YAML 1.2 with positions: every value knows the line on which it, or its key, stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from phasediag.errors import BrokenFileError, Fault, GridError, RefusedError, nearest
from phasediag.grids.ready import ready_names

Scalar = bool | int | float | str | None
_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = {f"{_TAG}{name}" for name in ("str", "timestamp", "merge", "value")}
_BASES: Final = {"0x": 16, "0o": 8, "0b": 2}


MOST_FAULTS: Final = 100
"""Faults that are told one by one: whoever has more has given the wrong file."""
MOST_ALIASED: Final = 100_000
"""Values that aliases may stand for, all in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of the file."""

    line: int
    """Line of its key, or of the value itself where it stands in a list; the first is 1."""
    content: Scalar | tuple[Node, ...] | dict[str, Node]

    @property
    def plain(self) -> Any:
        """The value as plain scalars, lists and dictionaries."""
        if isinstance(self.content, dict):
            return {key: node.plain for key, node in self.content.items()}
        if isinstance(self.content, tuple):
            return [node.plain for node in self.content]
        return self.content

    @property
    def shown(self) -> str:
        """The value as it stands in a message, shortened."""
        text = as_yaml(self.plain)
        return text if len(text) <= 80 else text[:77] + "..."


def as_yaml(value: object) -> str:
    """A plain value as a grid spells it: true and null, lists in brackets; text in quotes."""
    match value:
        case True | False | None:
            return {True: "true", False: "false", None: "null"}[value]
        case list() | tuple():
            return f"[{', '.join(map(as_yaml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {as_yaml(inside)}' for key, inside in value.items())}}}"
        case str():
            return repr(value)
    return str(value)


class Report:
    """Collects the faults of one file, so that one error names them all."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: dict[Fault, int] = {}
        """Each with its line; no more than `MOST_FAULTS`."""
        self.further = 0
        """Faults besides."""
        self.cut = False
        """Whether not all was looked at that stands behind them."""

    @property
    def full(self) -> bool:
        """Whether so many faults were reported that further ones are only counted."""
        return len(self.faults) >= MOST_FAULTS

    def place(self, line: int, key: str) -> str:
        """Where a fault stands, as it is told."""
        return f"{self.file}:{line}"

    def lines(self, *lines: int) -> str:
        """Lines of the file as words in brackets, ` (lines 3 and 7)`, for the end of a message."""
        return f" (lines {' and '.join(map(str, lines))})"

    def add(self, line: int, key: str, problem: str, remedy: str) -> None:
        """Note a fault on a line of the file."""
        if self.full:
            self.further += 1
            return
        fault = Fault(where=self.place(line, key), key=key, problem=problem, remedy=remedy)
        self.faults.setdefault(fault, line)

    def refuse(self, line: int, key: str, error: ValueError) -> None:
        """Note what an error says of a key's value; of a file that several keys name, at the first."""
        refusal = RefusedError.of(error)
        repeated = isinstance(error, BrokenFileError) and refusal.problem in {f.problem for f in self.faults}
        if not repeated:
            self.add(line, key, refusal.problem, refusal.remedy or "correct it")

    def unknown(self, line: int, key: str, name: str, names: list[str]) -> None:
        """Note a key that does not exist."""
        if self.full:
            self.further += 1
            return
        hint = nearest(name, names)
        self.add(line, key, f"'{name}' is not a key here", f"{hint} allowed: {', '.join(names)}".strip())

    def close(self) -> None:
        """Raise the faults that were collected.

        Raises
        ------
        GridError
            Where there is any fault; they are sorted by line.
        """
        if self.faults:
            faults = sorted(self.faults, key=lambda fault: self.faults[fault])
            raise GridError(faults, self.further, cut=self.cut)


def read_text(path: Path) -> str:
    """The text of a YAML file.

    Raises
    ------
    GridError
        Where it cannot be read, or is not UTF-8.
    """
    report = Report(str(path))
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        name = path.stem
        hint = (
            f"; `phasediag init {name}` writes the ready grid of that name" if name in ready_names() else ""
        )
        report.add(1, "file", f"cannot be read: {error.strerror}", f"give the path of a grid.yaml{hint}")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        report.add(line, "file", "is not UTF-8 text", "save it as UTF-8")
    report.close()
    raise AssertionError


def parse_mapping(text: str, report: Report) -> Node:
    """Parse the text of a YAML file whose top level is a mapping.

    Duplicate keys and unknown tags are noted in `report`, and the first value is kept.

    Raises
    ------
    GridError
        Where the text is no YAML, contains itself, or its top level is not a mapping.
    """
    root = _composed(text, report)
    if not isinstance(root, MappingNode):
        what = "is empty" if root is None else "is not a mapping"
        line = 1 if root is None else root.start_mark.line + 1
        report.add(line, "file", what, "a grid is a mapping with the keys name, fixed, axes, ...")
        report.close()
    return _Converter(report).node(root, root.start_mark.line + 1, "")


def _composed(text: str, report: Report) -> Any:
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        report.add(1 if mark is None else mark.line + 1, "file", problem, "correct the YAML")
    except YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        report.add(line, "file", f"no YAML: {str(error).splitlines()[0]}", "correct the YAML")
    except RecursionError:
        report.add(1, "file", "is nested too deeply", "a grid has three levels")
    report.close()
    raise AssertionError


class _Converter:
    """From ruamel's nodes to ours; a value under an alias is converted once."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()
        self.values = 0
        """Values until now, those under aliases as often as they are meant."""
        self.inside: dict[int, int] = {}
        """How many a value holds, by the same names as in `done`."""
        self.aliased = 0

    def node(self, source: Any, line: int, key: str) -> Node:
        if id(source) in self.open:
            self.report.add(line, key, "contains itself", "remove the alias")
            self.report.close()
        if id(source) in self.done:
            self._repeat(self.inside[id(source)], line, key)
        else:
            before = self.values
            self.open.add(id(source))
            self.done[id(source)] = self._content(source, line, key)
            self.open.remove(id(source))
            self.values += 1
            self.inside[id(source)] = self.values - before
        return Node(line=line, content=self.done[id(source)])

    def _repeat(self, count: int, line: int, key: str) -> None:
        """Note an alias of so many values; a few lines of them could stand for more than there is memory."""
        self.values += count
        self.aliased += count
        if self.aliased > MOST_ALIASED:
            problem = f"aliases stand for more than {MOST_ALIASED:,} values"
            self.report.add(line, key or "file", problem, "write out what is meant")
            self.report.close()

    def _content(self, source: Any, line: int, key: str) -> Any:
        if isinstance(source, MappingNode):
            return self._mapping(source, key)
        if isinstance(source, SequenceNode):
            lines = [item.start_mark.line + 1 for item in source.value]
            pairs = enumerate(zip(source.value, lines, strict=True))
            return tuple(self.node(item, at, f"{key}[{index}]") for index, (item, at) in pairs)
        try:
            source.value.encode()
            return _scalar(source.tag, source.value)
        except UnicodeEncodeError:  # of two halves of a letter, as JSON writes it, YAML makes two
            self.report.add(line, key, f"{source.value!r} is no text", "write its letters as they are")
        except ValueError:
            self.report.add(line, key, f"'{source.value}' is no {source.tag}", "write a plain value")
        return None

    def _mapping(self, source: MappingNode, key: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for name, value in source.value:
            line = name.start_mark.line + 1
            if not isinstance(name, ScalarNode):
                self.report.add(line, key or "file", "a key is a list or a mapping", "keys are names")
                continue
            path = f"{key}.{name.value}" if key else name.value
            if name.value in entries:
                first = entries[name.value].line
                self.report.add(line, path, f"is given twice, first on line {first}", "remove one of the two")
                continue
            entries[name.value] = self.node(value, line, path)
        return entries


def _scalar(tag: str, text: str) -> Scalar:
    if tag in _TEXT_TAGS:
        return text
    match tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return _boolean(text)
        case "int":
            digits = text.replace("_", "").lower()
            sign, unsigned = (-1 if digits.startswith("-") else 1), digits.lstrip("+-")
            base = _BASES.get(unsigned[:2], 10)
            return sign * int(unsigned if base == 10 else unsigned[2:], base)
        case "float":
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise ValueError(tag)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no", "on", "off"):
        raise ValueError(text)
    return text.lower() in ("true", "yes", "on")


class FileSection(BaseModel):
    """A part of the file that pydantic reads; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
    nested: ClassVar[Mapping[str, type[BaseModel]]] = {}
    """The models inside, by the key that holds them."""


SectionT = TypeVar("SectionT", bound=FileSection)


def parse_section(model: type[SectionT], node: Node, key: str, report: Report) -> SectionT | None:
    """Read a mapping into a section; each fault is noted at the line of its key, and gives None."""
    if not isinstance(node.content, dict):
        keys = ", ".join(_keys(model))
        report.add(node.line, key, f"{node.shown} is not a mapping", f"its keys are {keys}")
        return None
    try:
        return model.model_validate(node.plain)
    except ValidationError as error:
        for fault in error.errors():
            _note(fault, model, node, key, report)
    return None


def _note(fault: ErrorDetails, model: type[FileSection], node: Node, key: str, report: Report) -> None:
    path = key
    for part in fault["loc"]:
        inside = _child(node, part)
        if inside is None:
            continue
        node, path = inside, f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}"
    last = str(fault["loc"][-1])
    owner = model if len(fault["loc"]) == 1 else model.nested.get(str(fault["loc"][0]), model)
    if fault["type"] == "extra_forbidden":
        report.unknown(node.line, path, last, _keys(owner))
    elif fault["type"] == "missing":
        report.add(node.line, path, f"'{last}' is missing", f"its keys are {', '.join(_keys(owner))}")
    else:
        report.add(
            node.line,
            path,
            f"{node.shown} is not allowed",
            fault["msg"].removeprefix("Value error, ").replace("Input should be", "it must be"),
        )


def _keys(model: type[BaseModel]) -> list[str]:
    """What a file calls the fields of a model."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _child(node: Node, part: object) -> Node | None:
    if isinstance(node.content, dict) and isinstance(part, str):
        return node.content.get(part)
    if isinstance(node.content, tuple) and isinstance(part, int):
        return node.content[part]
    return None
