"""The keys of a grid's top level, each read as what it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from phasediag.grids.catalogue import LARGEST_INT
from phasediag.grids.measure import Measure
from phasediag.grids.nodes import FileSection, Node, Report, parse_section
from phasediag.grids.sections import KeepSection, MeasureSection, Resources

NAME_PATTERN: Final = "^[a-z0-9][a-z0-9_-]*$"
MAX_TRIALS: Final = 10_000_000
WEIGHTS: Final = "weights"
"""What a grid keeps of its trials besides their rows, where it says so."""
SectionT = TypeVar("SectionT", bound=FileSection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a grid says apart from its parameters."""

    name: str
    replicates: int
    seed: int
    max_trials: int
    measure: Measure
    keep: float
    """The share of the trials whose last weights are kept."""
    resources: Resources


class TopLevel:
    """The top level of a grid; a key that is not what it must be is a fault in the report.

    Parameters
    ----------
    content
        The keys and their values.

    Attributes
    ----------
    nodes
        The value of every key that is not null.
    lines
        The line of every key.
    """

    def __init__(self, content: Mapping[str, Node], report: Report) -> None:
        self.nodes = {key: node for key, node in content.items() if node.content is not None}
        self.lines = {key: node.line for key, node in content.items()}
        self._report = report

    def line(self, *keys: str) -> int:
        """The line of the first of some keys that is there; 1 where none is."""
        return next((self.lines[key] for key in keys if key in self.lines), 1)

    def heading(self) -> Heading:
        """The keys of a grid that are no parameters of trials: name, replicates, seed, sections.

        Where one of them is not what it must be, that is a fault in the report, and its default stands here.
        """
        return Heading(
            name=self._name(), replicates=self._integer("replicates", 1, 1),
            seed=self._integer("seed", 0, -LARGEST_INT),
            max_trials=self._integer("max_trials", MAX_TRIALS, 1),
            measure=self._section("measure", MeasureSection).resolve(), keep=self._kept(),
            resources=self._section("resources", Resources),
        )  # fmt: skip

    def _name(self) -> str:
        node = self.nodes.get("name")
        if node is None:
            self._report.add(self.line("name"), "name", "is missing", "give the sweep a name")
            return ""
        if not isinstance(node.content, str) or not re.fullmatch(NAME_PATTERN, node.content):
            remedy = "allowed: small letters, digits, _ and -, a letter or digit first"
            self._report.add(node.line, "name", f"{node.shown} is no name of a folder", remedy)
        return str(node.content)

    def _integer(self, key: str, default: int, least: int) -> int:
        node = self.nodes.get(key)
        if node is None:
            return default
        value = node.content
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_INT:
            allowed = f"a whole number >= {least}" if least >= 0 else "a whole number of at most 63 bits"
            self._report.add(node.line, key, f"{node.shown} is not allowed", f"allowed: {allowed}")
            return default
        return value

    def _kept(self) -> float:
        """The share of the trials whose weights are kept: `weights` alone means all of them."""
        node = self.nodes.get("keep")
        if node is None or node.content == WEIGHTS:
            return 0.0 if node is None else 1.0
        if isinstance(node.content, dict):
            section = parse_section(KeepSection, node, "keep", self._report)
            return 0.0 if section is None else section.weights
        remedy = "write keep: weights, or keep: {weights: 0.1} for a tenth of the trials"
        self._report.add(node.line, "keep", f"{node.shown} is not allowed", remedy)
        return 0.0

    def _section(self, key: str, model: type[SectionT]) -> SectionT:
        node = self.nodes.get(key)
        section = None if node is None else parse_section(model, node, key, self._report)
        return model() if section is None else section

    def mapping(self, key: str) -> dict[str, Node]:
        """The values under a key, by name; empty where it is left out."""
        node = self.nodes.get(key)
        if node is None:
            return {}
        if isinstance(node.content, dict):
            return node.content
        self._report.add(node.line, key, f"{node.shown} is not a mapping", f"write {key}: {{parameter: ...}}")
        return {}

    def items(self, key: str, remedy: str) -> Sequence[Node]:
        """The values listed under a key; none where it is left out."""
        node = self.nodes.get(key)
        if node is None:
            return ()
        if isinstance(node.content, tuple):
            return node.content
        self._report.add(node.line, key, f"{node.shown} is not a list", remedy)
        return ()
