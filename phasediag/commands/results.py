"""diagram, scaling: from rows to figures and fits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phasediag.commands.figure_options import figure_options
from phasediag.commands.options import COLUMN, JSON, SENSITIVITY, SWEEP, WHERE, say, telling
from phasediag.commands.where import columns_in, filtered
from phasediag.errors import AnalysisError, PhasediagError

if TYPE_CHECKING:
    import pandas as pd

    from phasediag.analysis.branches import Direction
    from phasediag.analysis.phases import Method
    from phasediag.analysis.stability import Symmetry


@click.command(short_help="Draw the phase diagram of SWEEP with its boundary.")
@SWEEP
@click.option("--x", type=COLUMN, required=True, help="Parameter across, or an expression.")
@click.option("--y", type=COLUMN, help="Parameter upwards; without it the diagram is a line along x.")
@click.option("--order", type=COLUMN, default="degree_normalized", show_default=True,
              help="Column or expression, such as 'neuron_count / width', that tells phases.")  # fmt: skip
@click.option("--level", type=float, help="Its value on the boundary; default: 0.5, of a rate 0.")
@click.option("--method", type=click.Choice(["level", "mixture", "slope"]), default="level",
              show_default=True, help="Boundary: where the average crosses the level, where two fitted "
              "components are equally likely, or where the average changes fastest.")  # fmt: skip
@click.option("--direction", type=click.Choice(["rising", "falling"]),
              help="Only crossings at which the order parameter does so along x; default: all.")  # fmt: skip
@click.option("--facet", type=COLUMN, multiple=True, help="Parameter with a panel for each value.")
@click.option("--transition", is_flag=True, help="Also say whether the transition jumps or is continuous.")
@click.option("--starts", type=COLUMN, metavar="COLUMN",
              help="With --transition: compare its values, for hysteresis, such as of init_scale."
              )  # fmt: skip
@click.option("--stability", type=click.Choice(["permutation", "sign_flip"]), help="Also draw where the "
              "symmetric state becomes unstable, by the observable escape.")  # fmt: skip
@click.option("--against", type=click.Choice(["steps"]), help="Draw the boundary against the length of "
              "training instead, and where it goes when that has no end.")  # fmt: skip
@click.option("--roughness", is_flag=True, help="Also tell the dimension of the boundary, of a "
              "grid of at least 64 x 64 points.")  # fmt: skip
@WHERE
@click.option("--output", type=click.Path(path_type=Path), default=Path("diagram.png"), show_default=True,
              help="PNG, SVG or PDF.")  # fmt: skip
@click.option("--raster", type=click.Path(path_type=Path), help="Also write a PNG of one pixel a cell, "
              "its colours spread evenly.")  # fmt: skip
@figure_options
@SENSITIVITY
@JSON
def diagram(
    sweep_path: str, x: str, y: str | None, order: str, level: float | None, method: Method,
    direction: Direction | None, facet: Sequence[str], transition: bool, starts: str | None,
    stability: Symmetry | None, against: str | None, roughness: bool,
    where: Sequence[str], output: Path, sensitivity: bool | None, as_json: bool,
    raster: Path | None, look: Mapping[str, Any],
) -> None:  # fmt: skip
    """Draw the phase diagram of SWEEP, with its boundary; prints the path of the figure."""
    if against is not None:
        from phasediag.commands.against import against_steps

        if transition or starts or stability or roughness or raster or look or method != "level":
            raise click.UsageError(
                "--against draws boundaries of several lengths of training: leave --transition, --starts, "
                "--stability, --roughness, --raster, --method and the options of the figure out"
            )
        against_steps(sweep_path, x, y, order, level, facet, direction, where, output, as_json)
        return
    from phasediag.analysis.declared import level_in
    from phasediag.analysis.frames import load_for
    from phasediag.analysis.phases import DecoupledDecayWarning, phase_diagram
    from phasediag.analysis.result import Result, plain
    from phasediag.analysis.roughness import boundary_roughness
    from phasediag.analysis.sensitivity import Recounts
    from phasediag.analysis.stability import stability as marginal_states
    from phasediag.analysis.systematics import boundary_systematics
    from phasediag.analysis.transition import transition_order
    from phasediag.analysis.versions import newest
    from phasediag.figures.exact_curve import draw_with_exact
    from phasediag.figures.look import Look
    from phasediag.figures.raster import save_raster
    from phasediag.figures.stability import draw_stability
    from phasediag.figures.style import save

    escape = None if stability is None else f"weight_decay + escape_{stability}"
    needed = [text for text in (x, y, order, starts, escape, *facet) if text is not None]
    trials = filtered(load_for(sweep_path, [*needed, *columns_in(where)]), where)
    notices: list[str] = []
    with telling(notices):
        trials = newest(trials, needed)
    if level is not None and method != "level":
        raise PhasediagError(f"--level has no meaning with --method {method}, which finds it; leave one out")
    at = level_in(trials, order, level)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DecoupledDecayWarning)
        made = phase_diagram(
            trials, x=x, y=y, order=order, level=at, facet=list(facet) or None, method=method,
            direction=direction,
        )  # fmt: skip
    cautions = [*(str(warning.message) for warning in caught), *made.warnings]
    tables = {name: table for name, table in made.tables.items() if name in ("boundary", "across")}
    if transition or starts is not None:
        tables |= transition_order(trials, x, y, order, made.level, starts).tables
    rough = boundary_roughness(made) if roughness else None
    drawing = draw_with_exact(made, trials, **look)
    if stability is not None:
        marginal = marginal_states(trials, made, stability)
        tables["stability"] = marginal.boundary
        draw_stability(drawing, made, marginal)
    save(drawing, output)
    if raster is not None:
        for file in save_raster(made, raster, Look.of(look)):
            say(str(file))
    moves: Result | None = Recounts.of(sweep_path, trials, sensitivity).sensitivity(made, trials)
    systematics = boundary_systematics(trials, made, sensitivity)
    if as_json:
        threshold = None if moves is None else moves.as_dict()
        more = {"notices": notices, "warnings": cautions, "threshold_sensitivity": threshold}
        more["systematics"] = None if systematics is None else systematics.as_dict()
        more |= {} if rough is None else {"roughness": rough.as_dict()}
        click.echo(json.dumps({"output": str(output), **plain(tables), **more}))
        return
    for table in tables.values() if not made.without_value else ():
        say(table.to_string(index=False))
    if rough is not None:
        say(rough.summary())
    for caution in cautions:
        say(f"warning: {caution}")
    if moves is not None:
        say(moves.summary())
    if systematics is not None:
        say(systematics.summary())
    click.echo(str(output))


@click.command(short_help="Fit a count of SWEEP against a parameter.")
@SWEEP
@click.option("--x", type=COLUMN, required=True, help="What the count scales with, or an expression.")
@click.option("--y", type=COLUMN, default="neuron_count", show_default=True,
              help="Column that is fitted, or an expression.")  # fmt: skip
@click.option("--window", nargs=2, type=float, help="Fit between these values of x.")
@WHERE
@click.option("--room", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Leave out cells whose mean count is above this share of the width.")  # fmt: skip
@click.option(
    "--collapse",
    is_flag=True,
    help="Also scale the curves of all widths onto one, with the trials of the fit.",
)
@click.option(
    "--strength",
    is_flag=True,
    help="Also fit weight decay and gradient noise as one strength, with the trials of the fit.",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Also ask whether y depends on learning rate and batch size through their temperature alone.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Draw the fit: PNG, SVG or PDF.")
@SENSITIVITY
@JSON
def scaling(
    sweep_path: str, x: str, y: str, window: tuple[float, float] | None, where: Sequence[str], room: float,
    collapse: bool, strength: bool, temperature: bool, output: Path | None, sensitivity: bool | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Fit the neuron count of SWEEP against a parameter, compare alternatives, and say what they support."""
    from phasediag.analysis.axes import parts
    from phasediag.analysis.equal_noise import WAYS
    from phasediag.analysis.frames import load_trials
    from phasediag.analysis.labels import shown
    from phasediag.analysis.versions import newest

    notices: list[str] = []
    with telling(notices):
        trials = newest(filtered(load_trials(sweep_path), where), (x, y), pooled=True)
    own = ("weight_decay", "label_noise", *WAYS) if strength or temperature else ()
    answers = []
    for values, part in parts(trials, (x, y, "width", *own)):
        said, lines = _scaled(sweep_path, part, x, y, window, room, collapse, strength, temperature,
                              sensitivity, _beside(output, values))  # fmt: skip
        answers.append({"of": values, **said} if values else said)
        if not as_json:
            title = [", ".join(f"{name} = {shown(value)}" for name, value in values.items()) + ":"]
            say("\n".join([*(title if values else []), *lines]), err=False)
    if as_json:
        one = answers[0] if len(answers) == 1 else {"facets": answers}
        click.echo(json.dumps({**one, "notices": notices}))


def _scaled(
    sweep_path: str, trials: pd.DataFrame, x: str, y: str, window: tuple[float, float] | None, room: float,
    collapse: bool, strength: bool, temperature: bool, sensitivity: bool | None, output: Path | None,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """What is asked of the trials of one facet, in plain types and in words."""
    from phasediag.analysis.equal_noise import compare_equal_noise
    from phasediag.analysis.finite_size import fit_collapse
    from phasediag.analysis.result import Result
    from phasediag.analysis.scaling import fit_scaling
    from phasediag.analysis.sensitivity import Recounts
    from phasediag.analysis.strength import fit_strength
    from phasediag.figures.style import save

    more: dict[str, Result] = {}
    if temperature:
        more["temperature"] = compare_equal_noise(trials, y=y, x=x, window=window)
    try:
        fit = fit_scaling(trials, x=x, y=y, window=window, room=room)
    except AnalysisError as error:
        if not more:
            raise
        said: dict[str, Any] = {name: result.as_dict() for name, result in more.items()}
        lines = [*(result.summary() for result in more.values()), f"no law is fitted: {error}"]
        return {**said, "no_fit": str(error)}, lines
    same: dict[str, Any] = {"x": x, "y": y, "window": fit.window, "room": room}
    if collapse:
        more["collapse"] = fit_collapse(trials, **same)
    if strength:
        more["strength"] = fit_strength(trials, **same)
    if output is not None:
        save(fit.plot(), output)
        say(str(output))
    moves = Recounts.of(sweep_path, trials, sensitivity).sensitivity(fit, trials)
    said = {**fit.as_dict(), "threshold_sensitivity": None if moves is None else moves.as_dict()}
    said |= {name: result.as_dict() for name, result in more.items()}
    results: list[Result] = [fit, *([] if moves is None else [moves]), *more.values()]
    return said, [result.summary() for result in results]


def _beside(output: Path | None, values: Mapping[str, Any]) -> Path | None:
    """The file of a facet's figure: the name of its values stands before the suffix."""
    from phasediag.analysis.labels import shown

    if output is None or not values:
        return output
    words = "-".join(f"{name}={shown(value)}" for name, value in values.items())
    return output.with_name(f"{output.stem}-{words}{output.suffix}")
