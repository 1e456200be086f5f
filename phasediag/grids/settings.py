"""Keys of a grid set to other values than its file gives: `--set weight_decay=[0.1, 0.2]`.

What is launched is a grid of its own, whose text says what was set: so the grid that a sweep keeps is
the one that ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from ruamel.yaml.error import YAMLError

from phasediag.errors import PhasediagError, nearest
from phasediag.grids.draft import TOP_KEYS
from phasediag.grids.given import as_text
from phasediag.grids.nodes import Node, Report, parse_mapping

_PLACES: Final = ("axes", "fixed")
"""Where a parameter may stand; in one of the two."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key and the value that it is set to."""

    text: str
    """As given: `steps=400`."""
    key: tuple[str, ...]
    """As given, cut at its dots."""
    value: Any
    """In plain types."""
    removed: bool
    """Whether the key is taken out instead: nothing stands behind the equals sign."""

    @property
    def shown(self) -> str:
        """As it stands in a message in place of a line of the file."""
        return f"--set {self.text}"


def parse_setting(text: str) -> Setting:
    """A setting as it is written on the command line.

    Parameters
    ----------
    text
        `KEY=VALUE`: a parameter or a key of the top level, further keys behind dots (`measure.every`); the
        value as it would stand in the grid. Nothing behind the equals sign takes the key out.

    Raises
    ------
    PhasediagError
        Where there is no equals sign, no key, or a value that is no YAML.
    """
    key, equals, given = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise PhasediagError(
            f"--set {text}: write KEY=VALUE, such as steps=4000, 'width=[16, 32]' or measure.every=100"
        )
    try:
        parsed = parse_mapping(f"value: {given}\n", Report(f"--set {text}")).content
    except (YAMLError, PhasediagError):
        parsed = {}
    if not isinstance(parsed, dict) or list(parsed) != ["value"]:
        raise PhasediagError(
            f"--set {text}: '{given}' is no value; write it as in a grid, such as '[16, 32]' or "
            "'{logspace: [1e-2, 1], num: 8}'"
        )
    return Setting(text, parts, parsed["value"].plain, removed=not given.strip())


class ChangedReport(Report):
    """Faults of a grid with settings, told where the user has written what is at fault."""

    def __init__(self, given: Report, lines: Mapping[str, int], settings: Mapping[str, Setting]) -> None:
        super().__init__(given.file)
        self._given = given
        """Faults of the grid without the settings."""
        self._lines = lines
        """The line of every key of the file, by its dotted name."""
        self._settings = settings
        """By the dotted key at which each stands in the changed grid."""

    def place(self, line: int, key: str) -> str:
        """The setting that gives a key, else its line in the file."""
        for name in _prefixes(key):
            if name in self._settings:
                return self._settings[name].shown
            if name in self._lines:
                return self._given.place(self._lines[name], name)
        return self._given.place(1, key)

    def lines(self, *lines: int) -> str:
        """Nothing: these are lines of a text that the user has not seen."""
        return ""


@dataclass(frozen=True, slots=True)
class ChangedGrid:
    """The text of a grid with settings, and where its faults are told."""

    text: str
    report: ChangedReport


def with_settings(text: str, report: Report, settings: Sequence[Setting]) -> ChangedGrid:
    """The text of a grid in which keys are set.

    Parameters
    ----------
    text
        The YAML of the grid.
    report
        What tells the faults of this text, with file and line.
    settings
        What to set; a later one replaces an earlier one of the same key.

    Returns
    -------
    The new text, headed by the settings in a comment, and a report that names faults by where they came from.

    Raises
    ------
    GridError
        Where the text is no YAML.
    PhasediagError
        Where a setting names no key of a grid, or one that is not there is to be taken out.
    """
    root = parse_mapping(text, report)
    report.close()
    content, places = root.plain, {}
    for setting in settings:
        key = _place_of(setting, content)
        _set(content, key, setting)
        places[".".join(key)] = setting
    content = {key: value for key, value in content.items() if key not in _PLACES or value}
    head = "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    said = " ".join(setting.shown for setting in settings).replace("\n", " ")
    lines = dict(_lines(root, ()))
    return ChangedGrid(f"{head}# {said}\n{as_text(content)}", ChangedReport(report, lines, places))


def _place_of(setting: Setting, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a setting's key stands: a parameter by itself where the grid has it now, else under `fixed`."""
    first, *rest = setting.key
    if rest or first in TOP_KEYS:
        if first not in TOP_KEYS:
            hint = nearest(first, TOP_KEYS) or f"allowed: {', '.join(TOP_KEYS)}"
            raise PhasediagError(f"{setting.shown}: a grid has no key '{first}'; {hint}")
        return setting.key
    section = next((section for section in _PLACES if first in (content.get(section) or {})), "fixed")
    return (section, first)


def _set(content: dict[str, Any], key: tuple[str, ...], setting: Setting) -> None:
    """Set a key, made with all that it stands in; a parameter leaves the place where it stood before."""
    inside = content
    for part in key[:-1]:
        inside[part] = {} if inside.get(part) is None else inside[part]
        inside = inside[part]
        if not isinstance(inside, dict):
            raise PhasediagError(f"{setting.shown}: {part} is no mapping, so that there is no key in it")
    if setting.removed:
        if key[-1] not in inside:
            raise PhasediagError(f"{setting.shown}: the grid has no {'.'.join(key)} that could be taken out")
        del inside[key[-1]]
        return
    one = len(key) == 2 and key[0] == "axes" and not isinstance(setting.value, list | dict)
    inside[key[-1]] = [setting.value] if one else setting.value
    if len(key) == 2 and key[0] in _PLACES:
        (other,) = (place for place in _PLACES if place != key[0])
        if isinstance(content.get(other), dict):
            content[other].pop(key[1], None)


def _lines(node: Node, key: tuple[str, ...]) -> list[tuple[str, int]]:
    """The dotted key of a value and of all in it, and their lines."""
    lines = [(_dotted(key), node.line)] if key else []
    if isinstance(node.content, dict):
        for name, inside in node.content.items():
            lines += _lines(inside, (*key, name))
    if isinstance(node.content, tuple):
        for index, inside in enumerate(node.content):
            lines += _lines(inside, (*key[:-1], f"{key[-1]}[{index}]") if key else ())
    return lines


def _dotted(key: Sequence[str]) -> str:
    return ".".join(key)


def _prefixes(key: str) -> list[str]:
    """A dotted key and all that it stands in, the longest first: `axes.width[2]`, `axes.width`, `axes`."""
    ends = [index for index, letter in enumerate(key) if letter in ".["]
    return [key, *(key[:end] for end in reversed(ends))]
