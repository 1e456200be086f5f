"""How alike layers represent the same inputs, in one network and between any two of a sweep (Eq. 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from scipy import stats

from phasediag.analysis.axes import axes_of
from phasediag.analysis.bootstrap import CONFIDENCE
from phasediag.analysis.frame import has_status, need_columns
from phasediag.analysis.gram_matrices import LIKENESSES, likenesses
from phasediag.analysis.result import Result, plain
from phasediag.arrays import FloatArray, IntArray
from phasediag.errors import AnalysisError

INPUT: Final = "input"
"""What the inputs are called among the layers."""
MOST_PAIRS: Final = 4_000_000
_SIDES: Final = ("first", "second")
_KEYS: Final = ("first", "second", "same_network", "first_layer", "second_layer")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Alignment(Result):
    """Likenesses of the Gram matrices of layers, pair by pair, and their means."""

    figure: ClassVar[str] = "alignment"

    by: str | None
    """The parameter in which the two networks of a pair may differ."""
    held: tuple[str, ...]
    """The parameters in which they agree, of those that vary."""
    kind: str
    """Which likeness is stated and drawn, a name of `LIKENESSES`."""
    pairs: pd.DataFrame
    """One row a pair of layers, or of a layer and the inputs: the held parameters, `step` (of the first),
    `first` and `second` (the values of `by`, the lower one first; None without), `first_trial`,
    `second_trial`, `first_replicate`, `second_replicate`, `same_network`, `same_seed`, `first_layer`,
    `second_layer`, and `cosine`, `correlation`, `cka`."""
    means: pd.DataFrame
    """One row a kind of pair: the held parameters, `step` (over time only), `first`, `second`,
    `same_network`, `first_layer`, `second_layer`, `pairs`, and for each likeness the mean over the pairs,
    with `_low` and `_high`: 95 %, by the jackknife over replicates (a pair goes where one of its two
    replicates goes); NaN with fewer than 3."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The means, and all pairs."""
        return {"means": self.means, "pairs": self.pairs}

    @property
    def last(self) -> pd.DataFrame:
        """The means at the end of training."""
        if "step" not in self.means:
            return self.means
        last: pd.DataFrame = self.means[self.means["step"] == self.means["step"].max()]
        return last

    @property
    def findings(self) -> tuple[str, ...]:
        """For each kind of pair the range over its layers, and the range with the inputs."""
        keys = [*self.held, "first", "second", "same_network"]
        groups = self.last.groupby(keys, dropna=False, sort=False)
        return tuple(
            self._sentence(dict(zip(keys, key, strict=True)), part)
            for key, part in sorted(groups, key=lambda group: bool(group[1]["same_network"].iloc[0]))
        )

    def _sentence(self, key: Mapping[str, Any], part: pd.DataFrame) -> str:
        of_input = (part["first_layer"] == INPUT) | (part["second_layer"] == INPUT)
        both = (part["first_layer"] == INPUT) & (part["second_layer"] == INPUT)
        ranges = [
            f"{name} {_range(part.loc[rows, self.kind])}"
            for name, rows in (("of layers", ~of_input), ("with the inputs", of_input & ~both))
            if rows.any()
        ]
        held = "".join(f", {name} {key[name]}" for name in self.held)
        values = "" if self.by is None else f" of {self.by} {key['first']}"
        if self.by is not None and not key["same_network"]:
            values += f" and {key['second']}"
        place = "Within networks" if key["same_network"] else "Between networks"
        return f"{place}{values}{held}: {LIKENESSES[self.kind]} {'; '.join(ranges) or 'of the inputs alone'}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the numbers do not tell: too few replicates, common starts, what has no direction."""
        between = self.pairs[~self.pairs["same_network"]]
        said = []
        if self.means[f"{self.kind}_low"].isna().any():
            said.append("Where there are fewer than 3 replicates, a mean has no interval.")
        if len(between) and between["same_seed"].any():
            said.append(
                "Networks of a pair may have one seed, and so start alike where their sizes agree: pin "
                "data_seed in the grid and pass different_seeds=True to compare independent starts."
            )
        unknown = int(self.pairs[self.kind].isna().sum())
        if unknown:
            said.append(
                f"{unknown:,} of {len(self.pairs):,} pairs have no likeness: the features of a layer are "
                "zero, the same for all inputs, or not known."
            )
        return tuple(said)

    def as_dict(self) -> dict[str, Any]:
        """The means in plain types."""
        return {"by": self.by, "held": list(self.held), "kind": self.kind, "means": plain(self.means)}


def alignment(
    measurements: pd.DataFrame, trials: pd.DataFrame, by: str | None = None, kind: str = "correlation",
    over_time: bool = False, different_seeds: bool = False,
) -> Alignment:  # fmt: skip
    """Compare the layers of networks by the Gram matrices that were stored of them.

    Trials are compared whose test inputs are the same: of one task, and of one `data_seed` or else of one
    seed. Without `by` they are those of one point; with it, those that differ in it too.

    Parameters
    ----------
    measurements
        Rows of `load_measurements` of the observable `gram`, and of `input_gram` to compare with the inputs.
    trials
        The trials of the same sweep; those in it are taken.
    by
        A parameter in which the networks of a pair may differ, such as `transform` or `width`.
    kind
        Which likeness is stated and drawn: `cosine`, `correlation` or `cka`.
    over_time
        Compare at every stored step, networks at the same step; else at the last step of each trial.
    different_seeds
        Leave out pairs of two networks of one seed.

    Raises
    ------
    AnalysisError
        For unknown columns or kinds, where no Gram matrices are stored, or there are too many pairs.
    """
    if kind not in LIKENESSES:
        raise AnalysisError(f"kind '{kind}' is none; it is one of {', '.join(LIKENESSES)}")
    need_columns(trials, ("trial_id", "seed", *(() if by is None else (by,))))
    trials = trials[has_status(trials, "ok")]
    named = () if by is None else (by,)
    held = tuple(axes_of(trials, within=named, without=("data_seed",))) if len(trials) else ()
    rows = _representations(measurements, _networks(trials, by, held), over_time)
    keys = [*held, "world", *(["step"] if over_time else [])]
    groups = [group for _, group in rows.groupby(keys, dropna=False, sort=True)]
    count = sum(len(group) * (len(group) - 1) // 2 for group in groups)
    if count > MOST_PAIRS:
        raise AnalysisError(
            f"{count:,} pairs of layers are too many (at most {MOST_PAIRS:,}): keep fewer trials, or layers"
        )
    pairs = pd.concat([_pairs(group, held) for group in groups], ignore_index=True)
    if different_seeds:
        pairs = pairs[pairs["same_network"] | ~pairs["same_seed"]].reset_index(drop=True)
    if pairs.empty:
        raise AnalysisError(
            "there is nothing to compare: one layer of one network a data set; measure `gram` on several "
            "layers, or `input_gram` besides, or name the parameter in which networks differ: by=..."
        )
    means = _means(pairs, [*held, *(["step"] if over_time else [])])
    return Alignment(by=by, held=held, kind=kind, pairs=pairs, means=means)


def _networks(trials: pd.DataFrame, by: str | None, held: tuple[str, ...]) -> pd.DataFrame:
    """What is needed of each trial: its id, its world, its replicate, and the values of parameters."""
    seeds = trials["seed"].to_numpy()
    pinned = trials["data_seed"] if "data_seed" in trials else pd.Series(np.nan, index=trials.index)
    world = np.where(pinned.isna(), [f"seed {seed}" for seed in seeds], [f"data {each}" for each in pinned])
    task = trials["task"].astype(str).to_numpy() if "task" in trials else np.full(len(trials), "")
    return pd.DataFrame({
        "trial": trials["trial_id"].to_numpy(), "seed": seeds, **{name: trials[name].array for name in held},
        "replicate": trials["replicate"].to_numpy() if "replicate" in trials else seeds,
        "world": [f"{a} {b}" for a, b in zip(task, world, strict=True)],
        "value": np.full(len(trials), None) if by is None else trials[by].array,
    })  # fmt: skip


def _representations(measurements: pd.DataFrame, networks: pd.DataFrame, over_time: bool) -> pd.DataFrame:
    """One row a layer of a network, or its inputs: `layer`, `step`, `triangle`, and what is known of it."""
    need_columns(measurements, ("trial_id", "layer", "observable", "step", "distances"))
    stored = measurements["observable"].isin(["gram", "input_gram"]) & measurements["distances"].notna()
    rows = measurements[stored].rename(columns={"trial_id": "trial", "distances": "triangle"})
    rows = rows.assign(layer=rows["layer"].where(rows["observable"] == "gram", INPUT))
    keys = ["trial", "layer", *(["step"] if over_time else [])]
    rows = rows.sort_values("step", kind="stable").drop_duplicates(keys, keep="last")
    rows = rows[["trial", "layer", "step", "triangle"]].merge(networks, on="trial")
    if rows.empty:
        raise AnalysisError(
            "no Gram matrices are stored for these trials; ask for the observable gram on the layers to be "
            "compared (and input_gram on one of them), with `measure: {distances: last}` or `all`, and "
            "launch with --remeasure"
        )
    lengths = rows["triangle"].map(len).unique()
    if len(lengths) > 1:
        raise AnalysisError(
            "Gram matrices of different sizes cannot be compared; keep trials of one number of test samples"
        )
    return rows


def _pairs(group: pd.DataFrame, held: tuple[str, ...]) -> pd.DataFrame:
    """All pairs among some representations of the same inputs."""
    group = group.iloc[_order(group)]
    first, second = np.triu_indices(len(group), k=1)
    alike = likenesses(np.stack(group["triangle"].to_list()))
    columns: dict[str, Any] = {name: group[name].array[first] for name in (*held, "step")}
    for side, index in zip(_SIDES, (first, second), strict=True):
        columns[side] = group["value"].array[index]
        columns |= {
            f"{side}_{name}": group[name].array[index] for name in ("trial", "replicate", "seed", "layer")
        }
    frame = pd.DataFrame(columns)
    frame["same_network"] = frame["first_trial"] == frame["second_trial"]
    frame["same_seed"] = frame["first_seed"] == frame["second_seed"]
    frame = frame.drop(columns=["first_seed", "second_seed"])
    return frame.assign(**{name: matrix[first, second] for name, matrix in alike.items()})


def _order(group: pd.DataFrame) -> IntArray:
    """By the value of `by`, then by layer, then by trial: so that a kind of pair has one orientation."""
    values = group["value"]
    codes = pd.factorize(values, use_na_sentinel=False, sort=pd.api.types.is_numeric_dtype(values))[0]
    if not pd.api.types.is_numeric_dtype(values):
        codes = pd.factorize(values.astype(str), sort=True)[0]
    layers = {layer: place for place, layer in enumerate(layers_in_order(group["layer"].unique()))}
    order: IntArray = np.lexsort((group["trial"].to_numpy(str), group["layer"].map(layers), codes))
    return order


def layers_in_order(layers: Any) -> list[str]:
    """The inputs first, then the layers, numbers in their names as numbers."""

    def place(layer: str) -> tuple[Any, ...]:
        parts = re.split(r"(\d+)", layer)
        return (layer != INPUT, tuple(int(part) if part.isdigit() else part for part in parts))

    return sorted(map(str, layers), key=place)


def _means(pairs: pd.DataFrame, besides: list[str]) -> pd.DataFrame:
    keys = [*besides, *_KEYS]
    rows = [
        {**dict(zip(keys, key, strict=True)), "pairs": len(part), **_jackknifed(part)}
        for key, part in pairs.groupby(keys, dropna=False, sort=False)
    ]
    return pd.DataFrame(rows)


def _jackknifed(part: pd.DataFrame) -> dict[str, float]:
    """Mean and interval of each likeness; a pair is left out with either of its replicates."""
    codes, replicates = pd.factorize(pd.concat([part["first_replicate"], part["second_replicate"]]))
    first, second = codes[: len(part)], codes[len(part) :]
    count = len(replicates)
    numbers: dict[str, float] = {}
    for name in LIKENESSES:
        values = part[name].to_numpy(dtype=np.float64)
        reach = np.nan
        if count >= 3:
            left = [_mean(values[(first != each) & (second != each)]) for each in range(count)]
            error = np.sqrt((count - 1) * np.var(left))
            reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error)
        mean = _mean(values)
        numbers |= {name: mean, f"{name}_low": max(mean - reach, -1.0) if reach == reach else np.nan,
                    f"{name}_high": min(mean + reach, 1.0) if reach == reach else np.nan}  # fmt: skip
    return numbers


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _range(values: pd.Series[Any]) -> str:
    known = values.dropna()
    if known.empty:
        return "unknown"
    low, middle, high = known.min(), known.median(), known.max()
    return f"{low:.3f} to {high:.3f} (median {middle:.3f})" if len(known) > 1 else f"{middle:.3f}"
