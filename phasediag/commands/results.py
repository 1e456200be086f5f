"""diagram, scaling: from rows to figures and fits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from phasediag.commands.figure_options import LOOK, given
from phasediag.commands.options import COLUMN, JSON, LEVEL, SENSITIVITY, SWEEP, WHERE, say, telling, together
from phasediag.commands.tables import printed
from phasediag.commands.where import columns_in, filtered
from phasediag.errors import AnalysisError, PhasediagError

if TYPE_CHECKING:
    import pandas as pd

    from phasediag.analysis.phases import PhaseDiagram
    from phasediag.analysis.result import Result

MOST_NAMED: Final = 3
"""Facets that are named with the reason why they have no law."""

_ASKED: Final = together("asked", {
    "x": click.option("--x", type=COLUMN, required=True, help="Parameter across, or an expression."),
    "y": click.option("--y", type=COLUMN,
                      help="Parameter upwards; without it the diagram is a line along x."),
    "order": click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
                          help="Column or expression, such as 'neuron_count / width', that tells phases."),
    "level": LEVEL,
    "method": click.option("--method", type=click.Choice(["level", "mixture", "slope"]), default="level",
                           show_default=True, help="Boundary: where the average crosses the level, where two "
                           "fitted components are equally likely, or where the average changes fastest."),
    "direction": click.option("--direction", type=click.Choice(["rising", "falling"]), help="Only crossings "
                              "at which the order parameter does so along x; default: all."),
    "facet": click.option("--facet", type=COLUMN, multiple=True,
                          help="Parameter with a panel for each value."),
})  # fmt: skip
"""What `phasediag.phase_diagram` is asked for."""

_BESIDES: Final = together("besides", {
    "transition": click.option("--transition", is_flag=True,
                               help="Also say whether the transition jumps or is continuous."),
    "starts": click.option("--starts", type=COLUMN, metavar="COLUMN", help="With --transition: compare its "
                           "values, for hysteresis, such as of init_scale."),
    "stability": click.option("--stability", type=click.Choice(["permutation", "sign_flip"]), help="Also "
                              "draw where the symmetric state becomes unstable, by the observable escape."),
    "against": click.option("--against", type=click.Choice(["steps"]), help="Draw the boundary against the "
                            "length of training instead, and where it goes when that has no end."),
    "roughness": click.option("--roughness", is_flag=True, help="Also tell the dimension of the boundary, of "
                              "a grid of at least 64 x 64 points."),
    "sensitivity": SENSITIVITY,
})  # fmt: skip
"""What is asked of a diagram once it is made."""


@click.command(short_help="Draw the phase diagram of SWEEP with its boundary.")
@SWEEP
@_ASKED
@_BESIDES
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("diagram.png"), show_default=True,
              help="PNG, SVG or PDF.")  # fmt: skip
@click.option("--raster", type=click.Path(path_type=Path), help="Also write a PNG of one pixel a cell, "
              "its colours spread evenly.")  # fmt: skip
@LOOK
@JSON
def diagram(
    sweep_path: str, asked: Mapping[str, Any], besides: Mapping[str, Any], where: Sequence[str], output: Path,
    raster: Path | None, look: Mapping[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Draw the phase diagram of SWEEP, with its boundary; prints the path of the figure."""
    if besides["against"] is not None:
        from phasediag.commands.against import against_steps

        others = [value for name, value in besides.items() if name not in ("against", "sensitivity")]
        if any(others) or raster or given(look) or asked["method"] != "level":
            raise click.UsageError(
                "--against draws boundaries of several lengths of training: leave --transition, --starts, "
                "--stability, --roughness, --raster, --method and the options of the figure out"
            )
        wanted = {name: value for name, value in asked.items() if name != "method"}
        against_steps(sweep_path, wanted, where, output, as_json=as_json)
        return
    from phasediag.figures.exact_curve import draw_with_exact
    from phasediag.figures.look import Look
    from phasediag.figures.raster import save_raster
    from phasediag.figures.stability import draw_stability
    from phasediag.figures.style import save

    answer = _answered(sweep_path, asked, besides, where)
    drawing = draw_with_exact(answer.diagram, answer.trials, **given(look))
    if answer.marginal is not None:
        draw_stability(drawing, answer.diagram, answer.marginal)
    save(drawing, output)
    if raster is not None:
        for file in save_raster(answer.diagram, raster, Look.of(given(look))):
            say(str(file))
    if as_json:
        click.echo(json.dumps({"output": str(output), **answer.as_dict()}))
        return
    for line in answer.lines():
        say(line)
    click.echo(str(output))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DiagramAnswer:
    """A diagram, and what was asked besides."""

    trials: pd.DataFrame
    diagram: PhaseDiagram
    notices: list[str]
    """What was said of the versions of the trials."""
    cautions: list[str]
    """What must be known before the diagram is trusted."""
    tables: dict[str, pd.DataFrame]
    marginal: PhaseDiagram | None
    """Where the symmetric state becomes unstable; None: not asked for."""
    results: dict[str, Result | None]
    """By their names in JSON; None: asked for, and there is nothing to say."""

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain types."""
        from phasediag.analysis.result import plain

        results = {name: None if one is None else one.as_dict() for name, one in self.results.items()}
        return {**plain(self.tables), "notices": self.notices, "warnings": self.cautions, **results}

    def lines(self) -> Iterator[str]:
        """All of it in words, but for the notices, which are said as they come."""
        if not self.diagram.without_value:
            yield from (printed(name, table) for name, table in self.tables.items())
        yield from (f"warning: {caution}" for caution in self.cautions)
        yield from (one.summary() for one in self.results.values() if one is not None)


def _answered(
    sweep_path: str, asked: Mapping[str, Any], besides: Mapping[str, Any], where: Sequence[str]
) -> _DiagramAnswer:
    """The diagram that is asked for, and what is asked of it besides."""
    from phasediag.analysis.frames import load_for
    from phasediag.analysis.roughness import boundary_roughness
    from phasediag.analysis.sensitivity import Recounts
    from phasediag.analysis.stability import stability
    from phasediag.analysis.systematics import boundary_systematics
    from phasediag.analysis.transition import transition_order
    from phasediag.analysis.versions import newest

    x, y, order, starts, symmetry = (
        asked["x"], asked["y"], asked["order"], besides["starts"], besides["stability"],
    )  # fmt: skip
    escape = None if symmetry is None else f"weight_decay + escape_{symmetry}"
    needed = [text for text in (x, y, order, starts, escape, *asked["facet"]) if text is not None]
    every = filtered(load_for(sweep_path, [*needed, *columns_in(where)]), where)
    notices: list[str] = []
    with telling(notices):
        trials = newest(every, needed)
    made, cautions = _made(trials, asked)
    tables = {name: table for name, table in made.tables.items() if name in ("boundary", "across")}
    if besides["transition"] or starts is not None:
        tables |= transition_order(trials, x, y, order, made.level, starts).tables
    marginal = None if symmetry is None else stability(trials, made, symmetry)
    if marginal is not None:
        tables["stability"] = marginal.boundary
    results: dict[str, Result | None] = {}
    if besides["roughness"]:
        results["roughness"] = boundary_roughness(made)
    sensitivity = besides["sensitivity"]
    moves = Recounts.of(sweep_path, trials, sensitivity).sensitivity(made, trials)
    results["threshold_sensitivity"] = moves
    results["systematics"] = boundary_systematics(trials, made, sensitivity, every)
    return _DiagramAnswer(
        trials=trials, diagram=made, notices=notices, cautions=cautions, tables=tables, marginal=marginal,
        results=results,
    )  # fmt: skip


def _made(trials: pd.DataFrame, asked: Mapping[str, Any]) -> tuple[PhaseDiagram, list[str]]:
    """The diagram, and what must be known before it is trusted."""
    from phasediag.analysis.phases import DecoupledDecayWarning, phase_diagram

    level, method = asked["level"], asked["method"]
    if level is not None and method != "level":
        raise PhasediagError(f"--level has no meaning with --method {method}, which finds it; leave one out")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DecoupledDecayWarning)
        made = phase_diagram(trials, **{**asked, "facet": list(asked["facet"]) or None})
    return made, [*(str(warning.message) for warning in caught), *made.warnings]


_FIT: Final = together("asked", {
    "x": click.option("--x", type=COLUMN, required=True,
                      help="What the count scales with, or an expression."),
    "y": click.option("--y", type=COLUMN, default="neuron_count", show_default=True,
                      help="Column that is fitted, or an expression."),
    "window": click.option("--window", nargs=2, type=float, metavar="LOW HIGH",
                           help="Fit between these values of x."),
    "room": click.option("--room", type=click.FloatRange(0, 1), default=0.5, show_default=True,
                         help="Leave out cells whose mean count is above this share of the width."),
})  # fmt: skip
"""What `phasediag.fit_scaling` is asked for."""

_FITS_BESIDES: Final = together("besides", {
    "collapse": click.option("--collapse", is_flag=True, help="Also scale the curves of all widths onto one, "
                             "with the trials of the fit."),
    "strength": click.option("--strength", is_flag=True, help="Also fit weight decay and gradient noise as "
                             "one strength, with the trials of the fit."),
    "temperature": click.option("--temperature", is_flag=True, help="Also ask whether y depends on learning "
                                "rate and batch size through their temperature alone."),
    "sensitivity": SENSITIVITY,
})  # fmt: skip


@click.command(short_help="Fit a count of SWEEP against a parameter.")
@SWEEP
@_FIT
@_FITS_BESIDES
@WHERE
@click.option("--output", type=click.Path(path_type=Path), help="Draw the fit: PNG, SVG or PDF.")
@JSON
def scaling(
    sweep_path: str, asked: Mapping[str, Any], besides: Mapping[str, Any], where: Sequence[str],
    output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Fit the neuron count of SWEEP against a parameter, compare alternatives, and say what they support."""
    from phasediag.analysis.axes import parts
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.labels import shown
    from phasediag.analysis.noise import ways
    from phasediag.analysis.versions import newest

    notices: list[str] = []
    with telling(notices):
        trials = newest(filtered(load_trials(sweep_path), where), (asked["x"], asked["y"]), pooled=True)
    own = (
        ("weight_decay", "label_noise", *ways(trials))
        if besides["strength"] or besides["temperature"]
        else ()
    )
    answers: list[dict[str, Any]] = []
    paragraphs, refused = [], {}
    for values, part in parts(trials, (asked["x"], asked["y"], "width", *own)):
        title = ", ".join(f"{name} = {shown(value)}" for name, value in values.items())
        try:
            said, lines = _scaled(sweep_path, part, asked, besides, _beside(output, values))
        except AnalysisError as error:  # of this facet: the others may have a law
            if not values:
                raise
            refused[title] = str(error)
            said, lines = {"no_fit": str(error)}, [f"no law is fitted: {error}"]
        answers.append({"of": values, **said} if values else said)
        paragraphs.append("\n".join([*([f"{title}:"] if values else []), *lines]))
    if len(refused) == len(answers):
        raise AnalysisError(_refused_everywhere(refused))
    if not as_json:
        say("\n".join(paragraphs), err=False)
    else:
        one = answers[0] if len(answers) == 1 else {"facets": answers}
        click.echo(json.dumps({**one, "notices": notices}))


def _scaled(
    sweep_path: str, trials: pd.DataFrame, asked: Mapping[str, Any], besides: Mapping[str, Any],
    output: Path | None,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """What is asked of the trials of one facet, in plain types and in words."""
    from phasediag.analysis.equal_noise import compare_equal_noise
    from phasediag.analysis.finite_size import fit_collapse
    from phasediag.analysis.scaling import fit_scaling
    from phasediag.analysis.sensitivity import Recounts
    from phasediag.analysis.strength import fit_strength
    from phasediag.figures.style import save

    more: dict[str, Result] = {}
    if besides["temperature"]:
        more["temperature"] = compare_equal_noise(trials, y=asked["y"], x=asked["x"], window=asked["window"])
    try:
        fit = fit_scaling(trials, **asked)
    except AnalysisError as error:
        if not more:
            raise
        said: dict[str, Any] = {name: result.as_dict() for name, result in more.items()}
        lines = [*(result.summary() for result in more.values()), f"no law is fitted: {error}"]
        return {**said, "no_fit": str(error)}, lines
    same = {**asked, "window": fit.window}
    if besides["collapse"]:
        more["collapse"] = fit_collapse(trials, **same)
    if besides["strength"]:
        more["strength"] = fit_strength(trials, **same)
    if output is not None:
        save(fit.plot(), output)
        say(str(output))
    moves = Recounts.of(sweep_path, trials, besides["sensitivity"]).sensitivity(fit, trials)
    said = {**fit.as_dict(), "threshold_sensitivity": None if moves is None else moves.as_dict()}
    said |= {name: result.as_dict() for name, result in more.items()}
    results: list[Result] = [fit, *([] if moves is None else [moves]), *more.values()]
    return said, [result.summary() for result in results]


def _refused_everywhere(reasons: Mapping[str, str]) -> str:
    """Why no facet has a law, each reason once with the facets that it is of."""
    sentences = []
    for reason in dict.fromkeys(reasons.values()):
        facets = [facet for facet, its in reasons.items() if its == reason]
        more = f"; and {len(facets) - MOST_NAMED} more" if len(facets) > MOST_NAMED else ""
        sentences.append(f"{'; '.join(facets[:MOST_NAMED])}{more}: {reason}")
    return "\n".join(sentences)


def _beside(output: Path | None, values: Mapping[str, Any]) -> Path | None:
    """The file of a facet's figure: the name of its values stands before the suffix."""
    from phasediag.analysis.labels import shown

    if output is None or not values:
        return output
    words = "-".join(f"{name}={shown(value)}" for name, value in values.items())
    return output.with_name(f"{output.stem}-{words}{output.suffix}")
