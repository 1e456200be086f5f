"""The temperature of gradient noise, a column that follows from what a trial was trained with.

Heavy-ball momentum keeps a share beta of the velocity, so that a gradient moves the weights by
learning_rate / (1 - beta) in all; where that is small, the weights follow dtheta = -grad L dt +
sqrt(T Sigma) dW with T = learning_rate / ((1 - beta) batch_size), Sigma the covariance of the gradients of
single samples.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from phasediag import columns
from phasediag.arrays import FloatArray

TEMPERATURE: Final = columns.TEMPERATURE.name
BESIDE: Final = columns.NOISE_TEMPERATURE.name
"""What it is called where a parameter of the user's has that name."""
RESTS_ON: Final = ("optimizer", "learning_rate", "batch_size")
"""Without these columns a frame has no temperature."""
_WAYS: Final = ("learning_rate", "batch_size", "lr_over_batch", "momentum", "steps", "learning_time")
_CONSTANT: Final = "constant"


def with_temperature(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with a column `temperature` besides: learning_rate / ((1 - momentum) batch_size).

    `noise_temperature` where a parameter of theirs is called so: of a softmax, say. As they are where they
    lack one of the columns that it rests on (`RESTS_ON`).

    Parameters
    ----------
    trials
        As the files have them: a column `temperature` is a parameter.
    """
    if not set(RESTS_ON) <= set(trials.columns):
        return trials
    return trials.assign(**{BESIDE if TEMPERATURE in trials else TEMPERATURE: temperatures(trials)})


def temperatures(trials: pd.DataFrame) -> FloatArray:
    """learning_rate / ((1 - momentum) batch_size) of each trial, shape (trials,).

    0 where every step sees all samples (batch_size 0). A batch as large as the data set is none of
    these: batches are drawn with replacement. NaN where no single number is the temperature: optimizers other
    than sgd, whose steps are no multiple of the gradient; a schedule, rates of layers or a clipped gradient;
    and full batches with fresh label noise, which are noise of the labels alone.
    """
    rate, batch = (trials[name].to_numpy(np.float64, na_value=np.nan) for name in RESTS_ON[1:])
    kept = _numbers(trials, "momentum", 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(batch == 0, 0.0, rate / ((1 - kept) * batch))
    plain = (trials["optimizer"] == "sgd").to_numpy(dtype=np.bool_, na_value=False, copy=True)
    if "schedule" in trials:
        plain &= (trials["schedule"].fillna(_CONSTANT) == _CONSTANT).to_numpy(dtype=np.bool_)
    for name in ("layer_rates", "gradient_clip"):
        if name in trials:
            plain &= trials[name].isna().to_numpy(dtype=np.bool_)
    if "noise" in trials:
        fresh = (trials["noise"] == "fresh").to_numpy(dtype=np.bool_, na_value=False)
        plain &= ~((batch == 0) & fresh & (_numbers(trials, "label_noise", 0.0) > 0))
    return np.where(plain, values, np.nan)


def noise_column(trials: pd.DataFrame) -> str:
    """The column that tells how strong the noise of gradients is, by any of its names; else lr_over_batch."""
    name = temperature_column(trials)
    return name if name in trials else "lr_over_batch"


def temperature_column(trials: pd.DataFrame) -> str:
    """The column of the temperature; that of a parameter of the same name is never meant."""
    return BESIDE if BESIDE in trials else TEMPERATURE


def ways(trials: pd.DataFrame) -> tuple[str, ...]:
    """The columns that differ between trials of one temperature, or follow from what does."""
    return (*_WAYS, temperature_column(trials))


def _numbers(trials: pd.DataFrame, name: str, missing: float) -> FloatArray:
    if name not in trials:
        return np.full(len(trials), missing)
    return np.asarray(np.nan_to_num(trials[name].to_numpy(np.float64, na_value=np.nan), nan=missing))
