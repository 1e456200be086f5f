"""Where the symmetric state of trained networks loses its stability, whatever they became."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from phasediag.analysis.phases import PhaseDiagram, phase_diagram
from phasediag.errors import AnalysisError

SymmetryName = Literal["permutation", "sign_flip"]


def stability(trials: pd.DataFrame, diagram: PhaseDiagram, symmetry: SymmetryName) -> PhaseDiagram:
    """The boundary at which the symmetric state of a symmetry is marginal, in the plane of a diagram.

    Each trial tells by its Hessian at its symmetric state, gamma_c = -lambda_min / 2 (the observable
    `escape`): it is stable where weight_decay + lambda_min > 0. That holds for one trial, whatever it became:
    it knows neither thresholds nor slow training, but for what this does to the symmetric state itself, which
    is the projection of the trained network. Between cells it is interpolated.

    Parameters
    ----------
    trials
        Those of the diagram.
    diagram
        Whose x, y and facets are taken.

    Raises
    ------
    AnalysisError
        Where the sweep did not measure `escape`, or the plane says nothing of it.
    """
    column = f"escape_{symmetry}"
    if column not in trials or trials[column].isna().all():
        raise AnalysisError(
            f"no trial has {column}: the stability of the symmetric state is measured by "
            "`measure: {observables: [escape]}`; add it and run `phasediag launch GRID --remeasure`"
        )
    return phase_diagram(
        trials, x=diagram.x, y=diagram.y or None, order=f"weight_decay + {column}", level=0.0,
        facet=list(diagram.facets) or None,
    )  # fmt: skip
