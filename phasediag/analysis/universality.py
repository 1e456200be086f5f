"""Whether every layer of a network represents inputs like every one of another (Theorem 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from phasediag.analysis.alignment import INPUT, Alignment
from phasediag.analysis.gram_matrices import LIKENESSES
from phasediag.analysis.result import Result, plain
from phasediag.errors import AnalysisError

ALIGNED: Final = 0.9
"""Likeness of the least alike layers from which two networks are called aligned."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Universality(Result):
    """The least alike layers of pairs of networks, beside what the layers share with the inputs."""

    figure: ClassVar[str] = "universality"

    kind: str
    """Which likeness, a name of `LIKENESSES`."""
    layer: str
    """The layer that is compared with the inputs."""
    groups: pd.DataFrame
    """One row a kind of pair of networks: the held parameters, `first`, `second`, `layers` (the two that
    are least alike), `least` (their mean likeness) with `low`, `high` (95 %), `median` (over all pairs of
    layers), `with_inputs` (the larger mean of `layer` of either network with its inputs) with
    `inputs_low`, `inputs_high`, and `verdict`: `aligned` (low is at least 0.9), `not aligned` (high is
    below), else `cannot tell`."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The kinds of pairs."""
        return {"pairs of networks": self.groups}

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence a kind of pair."""
        return tuple(self._sentence(row) for _, row in self.groups.iterrows())

    def _sentence(self, row: pd.Series[Any]) -> str:
        own = (
            "layers",
            "least",
            "low",
            "high",
            "median",
            "with_inputs",
            "inputs_low",
            "inputs_high",
            "verdict",
        )
        where = ", ".join(f"{name} {row[name]}" for name in map(str, self.groups) if name not in own)
        return (
            f"{where}: {row['verdict']}, {LIKENESSES[self.kind]} from {row['least']:.3f} [{row['low']:.3f}, "
            f"{row['high']:.3f}] ({row['layers']}), median {row['median']:.3f}; {self.layer} with the inputs "
            f"{row['with_inputs']:.3f} [{row['inputs_low']:.3f}, {row['inputs_high']:.3f}]."
        )

    def as_dict(self) -> dict[str, Any]:
        """The kinds of pairs in plain types."""
        return {"kind": self.kind, "layer": self.layer, "groups": plain(self.groups)}


def universality(alignment: Alignment, layer: str = "hidden.3") -> Universality:
    """Judge by the least alike layers whether two networks represent the same inputs alike.

    Parameters
    ----------
    alignment
        Of networks that differ in one parameter (`by`), with the observables `gram` and `input_gram`.
    layer
        Which is compared with the inputs.

    Raises
    ------
    AnalysisError
        Where no two networks were compared.
    """
    rows, kind = alignment.last, alignment.kind
    between = rows[~rows["same_network"] & (rows["first"] != rows["second"])]
    between = between[(between["first_layer"] != INPUT) & (between["second_layer"] != INPUT)]
    if between.empty:
        raise AnalysisError("no two networks were compared; name the parameter in which they differ: by=...")
    keys = [*alignment.held, "first", "second"]
    groups = []
    for key, part in between.groupby(keys, dropna=False, sort=False):
        named = dict(zip(keys, key, strict=True))
        least = part.iloc[int(np.argmin(part[kind].to_numpy(dtype=np.float64)))]
        groups.append({
            **named, "layers": f"{least['first_layer']} and {least['second_layer']}", "least": least[kind],
            "low": least[f"{kind}_low"], "high": least[f"{kind}_high"], "median": part[kind].median(),
            **_with_inputs(rows, named, alignment, layer), "verdict": _verdict(least, kind),
        })  # fmt: skip
    return Universality(kind=kind, layer=layer, groups=pd.DataFrame(groups))


def _verdict(least: pd.Series[Any], kind: str) -> str:
    if least[f"{kind}_low"] >= ALIGNED:
        return "aligned"
    return "not aligned" if least[f"{kind}_high"] < ALIGNED else "cannot tell"


def _with_inputs(
    rows: pd.DataFrame, named: Mapping[str, Any], alignment: Alignment, layer: str
) -> dict[str, float]:
    """The alignment of the layer with the inputs of its own network, the larger of both networks."""
    own = rows[rows["same_network"] & (rows["first_layer"] == INPUT) & (rows["second_layer"] == layer)]
    own = own[own["first"].isin([named["first"], named["second"]])]
    for name in alignment.held:
        own = own[own[name] == named[name]]
    names = (alignment.kind, f"{alignment.kind}_low", f"{alignment.kind}_high")
    if own.empty:
        return dict.fromkeys(("with_inputs", "inputs_low", "inputs_high"), float("nan"))
    largest = own.iloc[int(np.argmax(own[alignment.kind].to_numpy(dtype=np.float64)))]
    values = (float(largest[name]) for name in names)
    return dict(zip(("with_inputs", "inputs_low", "inputs_high"), values, strict=True))
