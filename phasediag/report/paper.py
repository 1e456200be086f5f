"""What a paper takes of a sweep: a figure, a table, a paragraph on methods, and an archive of its record."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from phasediag.analysis.axes import axes_of, given_in
from phasediag.analysis.bootstrap import FEWEST_REPLICATES
from phasediag.analysis.frame import converged, has_status
from phasediag.analysis.labels import label, prose, shown
from phasediag.analysis.phases import DecoupledDecayWarning, PhaseDiagram, phase_diagram
from phasediag.errors import AnalysisError, PhasediagError
from phasediag.figures.exact_curve import draw_with_exact
from phasediag.figures.style import COLUMN_WIDTH, Figure, figure_of, save
from phasediag.report.choice import choose

PAGE_WIDTH: Final = 7.0
"""Inches: both columns of a journal."""
SUMS: Final = "SHA256SUMS"
_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The date of files in the archive, so that the same sweep gives the same bytes."""
_DIGITS: Final = 4
_PARTS: Final = ("task", "model", "activation", "optimizer")
"""What is told first of the networks, by column."""
_SPECIAL: Final = {**{letter: f"\\{letter}" for letter in "&%$#_{}"}, "\\": r"\textbackslash{}",
                   "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip
_GREEK: Final = {"γ": r"$\gamma$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "×": r"$\times$", "‖": r"$\|$"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A sweep as it goes into a paper."""

    name: str
    trials: pd.DataFrame
    planned: int
    """Trials of all its grids."""
    grids: Sequence[tuple[str, str]]
    """The grids launched, as (name, text)."""
    diagram: PhaseDiagram
    sources: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """The user's files that each grid was launched with, by the grid's name and their paths."""

    @classmethod
    def of(
        cls, name: str, trials: pd.DataFrame, planned: int, grids: Sequence[tuple[str, str]],
        x: str | None, y: str | None, order: str, level: float, *,
        sources: Mapping[str, Mapping[str, bytes]],
    ) -> Paper:  # fmt: skip
        """The paper on the diagram that a report of these trials shows.

        Raises
        ------
        AnalysisError
            Where no two parameters vary that could span a diagram.
        """
        choice = choose(trials, x, y)
        if not (choice.x and choice.y):
            raise AnalysisError("a paper's figure needs two parameters that vary; this sweep has fewer")
        kept = choice.of(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DecoupledDecayWarning)  # the methods tell it
            diagram = phase_diagram(
                kept, x=choice.x, y=choice.y, order=order, level=level, facet=list(choice.facets) or None
            )
        return cls(name=name, trials=kept, planned=planned, grids=grids, diagram=diagram, sources=sources)

    def write(self, folder: Path) -> list[Path]:
        """Write all of it into a folder.

        Returns
        -------
        `figure.pdf`, `boundary.tex`, `methods.tex`, and the archive.

        Raises
        ------
        PhasediagError
            Where the folder or a file cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            figure = save(self.figure(), folder / "figure.pdf")
            texts = {"boundary.tex": self.table(), "methods.tex": self.methods()}
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            archive = folder / f"{self.name}.zip"
            archive.write_bytes(archived(self.contents()))
        except OSError as error:
            raise PhasediagError(
                f"cannot write '{folder}': {error.strerror or error}; choose another folder for --paper"
            ) from error
        return [figure, *(folder / name for name in texts), archive]

    def figure(self) -> Figure:
        """The diagram, as wide as one column of a journal, or both where it has panels."""
        wide = bool(self.diagram.facets)
        drawing = draw_with_exact(self.diagram, self.trials, size=None if wide else (COLUMN_WIDTH, 3.2))
        figure = figure_of(drawing)
        width, height = figure.get_size_inches()
        if wide:
            figure.set_size_inches(PAGE_WIDTH, height * PAGE_WIDTH / width)
        return figure

    def table(self) -> str:
        """The boundary as a table of LaTeX, for the package `booktabs`."""
        rows = self.diagram.main
        keys = list(self.diagram.keys)
        heads = [*(label(name) for name in keys), prose(self.diagram.x), "95 % interval", "replicates"]
        lines = [
            r"\begin{tabular}{" + "r" * len(heads) + "}", r"\toprule",
            " & ".join(map(escaped, heads)) + r" \\", r"\midrule",
        ]  # fmt: skip
        for row in rows.to_dict("records"):
            cells = [_value(row[name]) for name in keys]
            lines.append(" & ".join([*cells, *_boundary(row)]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        if ((rows["position"].notna()) & ~rows["converged"].astype("boolean").fillna(True)).any():
            lines.append("% * beside cells that have not converged: perhaps a front of training time")
        return "\n".join(lines) + "\n"

    def methods(self) -> str:
        """A paragraph on what was trained and how it was judged, in LaTeX."""
        sentences = [*self._trained(), *self._judged(), *self._left_out(), self._software()]
        return escaped(" ".join(sentences)) + "\n"

    def contents(self) -> dict[str, bytes]:
        """The files of the archive: trials, cells, boundary, grids, and what of the user's these reach."""
        table = io.BytesIO()
        self.trials.to_parquet(table, index=False)
        files = {"trials.parquet": table.getvalue()}
        files |= {f"{name}.csv": t.to_csv(index=False).encode() for name, t in self.diagram.tables.items()}
        for name, text in self.grids:
            beside = f"grids/{Path(name).stem}"
            files[f"grids/{name}"] = text.encode()
            files |= {f"{beside}/{path}": content for path, content in self.sources.get(name, {}).items()}
        return files

    def _trained(self) -> list[str]:
        trials, axes = self.trials, axes_of(self.trials)
        points = trials["point_id"].nunique() if "point_id" in trials else len(trials)
        replicates = trials["replicate"].nunique() if "replicate" in trials else 1
        varied = "; ".join(f"{prose(name)} ({_range(values)})" for name, values in axes.items())
        decay = (
            "Weight decay is decoupled from the gradient (AdamW)."
            if _only(trials, "optimizer") == "adamw"
            else "Weight decay γ adds γ times the weights to the gradient, so that the penalty is γ/2 times "
            "their squared norm."
        )
        return [
            f"We trained {len(trials):,} networks at {points:,} points with {replicates} replicates each"
            f"{_with(trials)}.",
            f"Varied were {varied}.",
            *_given(trials, self.grids, axes),
            *_lengths(trials, axes),
            f"The loss is {_loss(trials)}.",
            decay,
            "Replicates differ in their random seed, which all points share: teacher, data, batches and "
            "noise of a replicate are the same everywhere in the diagram.",
        ]

    def _judged(self) -> list[str]:
        diagram, trials = self.diagram, self.trials
        sentences = [f"The order parameter is the {prose(diagram.order, diagram.about)}"]
        layer, absolute, relative = (
            _only(trials, name) for name in ("measure_layer", "threshold_absolute", "threshold_relative")
        )
        if layer is not None:
            sentences[0] += f" of layer {layer}"
        sentences[0] += ", averaged over replicates."
        if absolute is not None and relative is not None:
            weighted = ", weighted by their squared norms" if _only(trials, "definitions") == 2 else ""
            sentences.append(
                f"Neurons count as equal, or dead, below the distance ε = max({absolute:g}, {relative:g} s), "
                f"where s is the root mean square norm of the layer's neurons{weighted}."
            )
        scale = "logarithm of " if diagram.x_scale.kind == "log" else ""
        sentences.append(
            f"The boundary is where it crosses {diagram.level:g}, interpolated linearly in the {scale}"
            f"{prose(diagram.x)} between neighbouring cells; {self._intervals()}."
        )
        return sentences

    def _intervals(self) -> str:
        if self.diagram.main["low"].notna().any():
            return "intervals are 95 % intervals over replicates, resampled jointly over the whole diagram"
        return (
            f"no intervals are given: fewer than {FEWEST_REPLICATES} replicates, or cells that have not "
            "converged, tell none"
        )

    def _left_out(self) -> list[str]:
        trials = self.trials
        fates = {name: int(has_status(trials, name).sum()) for name in ("diverged", "failed")}
        late = int((has_status(trials, "ok") & ~converged(trials, when_unknown=True)).sum())
        missing = max(0, self.planned - len(trials))
        return [
            f"Of these networks {fates['diverged']:,} diverged, {fates['failed']:,} failed and are left out, "
            f"and {late:,} had not converged at the end of training; a boundary beside cells most of whose "
            "networks had not is given without an interval."
            + (f" {missing:,} trials of the design are not part of the figure." if missing else "")
        ]

    def _software(self) -> str:
        parts = [
            f"{word} {' and '.join(versions)}"
            for word, name in (("phasediag", "phasediag_version"), ("PyTorch", "torch_version"))
            if (versions := _texts(self.trials, name))
        ]
        commits = " and ".join(each[:12] for each in _texts(self.trials, "git_commit"))
        return f"Software: {', '.join(parts) or 'phasediag'}{f' (commit {commits})' if commits else ''}."


def archived(files: Mapping[str, bytes]) -> bytes:
    """Files as a zip with their checksums, which `sha256sum -c SHA256SUMS` checks."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in {**files, SUMS: sums.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), each, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def escaped(text: str) -> str:
    """A text as LaTeX writes it."""
    return "".join((_SPECIAL | _GREEK).get(letter, letter) for letter in text)


def _with(trials: pd.DataFrame) -> str:
    """The task, the model and the optimizer, where there is one of each."""
    known = {name: _only(trials, name) for name in _PARTS}
    parts = [f"{name} {shown(value)}" for name, value in known.items() if value is not None]
    return f" ({', '.join(parts)})" if parts else ""


def _loss(trials: pd.DataFrame) -> str:
    """What was minimised, in words."""
    named, task = _only(trials, "loss"), str(_only(trials, "task"))
    if named is None and ":" in task:
        return f"the one that {task.partition(':')[2]}, the class of the task, states"
    if named == "cross_entropy":
        return "the cross entropy, averaged over samples"
    return "the squared error, summed over outputs and averaged over samples"


def _given(trials: pd.DataFrame, grids: Sequence[tuple[str, str]], axes: Collection[str]) -> list[str]:
    """The other values that the grids give, in a sentence; none where they give none."""
    contents = [YAML(typ="safe", pure=True).load(text) for _, text in grids]
    fixed = dict.fromkeys(name for content in contents for name in content.get("fixed", {}))
    names = [*fixed, *sorted(given_in(trials).difference(fixed))]
    values: dict[str, Any] = {
        name: _only(trials, name) for name in names if name not in {*axes, *_PARTS, "steps"}
    }
    parts = [f"{prose(name)} {shown(value)}" for name, value in values.items() if value is not None]
    return [f"Given besides: {', '.join(parts).replace('_', ' ')}."] if parts else []


def _lengths(trials: pd.DataFrame, axes: Collection[str]) -> list[str]:
    """For how long networks were trained, in a sentence; none where that is an axis, or not known."""
    steps = trials["steps"].dropna() if "steps" in trials and "steps" not in axes else pd.Series(dtype=float)
    if steps.empty:
        return []
    low, high = (f"{int(end):,}" for end in (steps.min(), steps.max()))
    relaxations = trials["relaxations"].dropna() if "relaxations" in trials else steps[:0]
    acting = relaxations[relaxations > 0]
    least = f", at least {acting.min():.3g} relaxation times of the decay" if len(acting) else ""
    return [f"Each was trained for {low if low == high else f'{low} to {high}'} steps{least}."]


def _only(trials: pd.DataFrame, name: str) -> Any:
    """The value that all trials have in a column; None where there are several or none."""
    values: Any = trials[name].dropna().unique() if name in trials else []
    return values[0] if len(values) == 1 else None


def _texts(trials: pd.DataFrame, name: str) -> list[str]:
    return sorted({str(each) for each in trials[name].dropna() if each}) if name in trials else []


def _range(values: np.ndarray[Any, Any]) -> str:
    if len(values) <= 4:
        return ", ".join(map(shown, values.tolist()))
    return f"{shown(values[0].item())} to {shown(values[-1].item())}, {len(values)} values"


def _value(value: Any) -> str:
    """A number with few digits, a power of ten where that is shorter; other values as text."""
    if not isinstance(value, float | np.floating):
        return escaped(str(value))
    text = f"{value:.{_DIGITS}g}"
    power = re.fullmatch(r"(.+)e([+-]\d+)", text)
    return rf"${power[1]} \times 10^{{{int(power[2])}}}$" if power else f"${text}$"


def _boundary(row: Mapping[Any, Any]) -> list[str]:
    """Position, interval and replicates of a row of the boundary."""
    if np.isnan(row["position"]):
        return ["none", "", f"{row['replicates']}"]
    early = "" if row["converged"] is pd.NA or row["converged"] else "$^*$"
    if np.isnan(row["low"]):
        return [_value(row["position"]) + early, "", f"{row['replicates']}"]
    ends = ["open" if np.isinf(row[end]) else _value(row[end]) for end in ("low", "high")]
    return [_value(row["position"]) + early, f"[{ends[0]}, {ends[1]}]", f"{row['replicates']}"]
