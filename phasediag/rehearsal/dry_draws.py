"""Whether samples that a user's task draws, or changes at random, are each by themselves.

One call draws the samples of many steps. Where a sample depends on the others of its call (a mean over them,
a teacher drawn for each call), a step would see something else than a loop that draws its batch alone, and
nothing else would tell. So one call is repeated with the random numbers of its first sample replaced: all
other samples must come out as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from phasediag.errors import PhasediagError
from phasediag.training.data import DrawnTask, Task

TRAIN: Final = "train_set()"
TEST: Final = "test_set()"
DRAW: Final = "draw(generator, count)"
AUGMENTED: Final = "augmented(x, generator)"
"""The methods by which a task gives samples, as messages call them."""
COUNT: Final = 47
"""Samples of a call: a prime number, which few sizes of something else are."""
DRAWING: Final = (
    "beta", "binomial", "chisquare", "choice", "dirichlet", "exponential", "f", "gamma", "geometric",
    "gumbel", "integers", "laplace", "logistic", "lognormal", "multivariate_normal", "multinomial",
    "negative_binomial", "normal", "pareto", "poisson", "power", "random", "rayleigh", "standard_cauchy",
    "standard_exponential", "standard_gamma", "standard_normal", "standard_t", "triangular", "uniform",
    "vonmises", "wald", "weibull", "zipf",
)  # fmt: skip
"""The methods of a generator whose numbers are drawn one by one."""
ROUNDING: Final = 1e-9
Drawing = Callable[[np.random.Generator], Tensor]
"""Draws `COUNT` samples, shape (COUNT, numbers)."""


class Replacing(np.random.Generator):
    """Draws as another generator at the same place of its stream, but for what the first sample gets.

    An array with an axis of `COUNT` has one place for each sample. An array without a place for each, of
    which there are fewer than samples, is drawn for the call as a whole: all of it is replaced. What else is
    drawn (single numbers, arrays for one sample after the other) stays as it is.

    Parameters
    ----------
    generator
        Where it begins; it is used up.
    of_calls
        Whether arrays for the call as a whole are replaced.

    Attributes
    ----------
    for_calls
        How many of these were drawn so far.
    """

    def __init__(self, generator: np.random.Generator, of_calls: bool) -> None:
        super().__init__(generator.bit_generator)
        self.other, self.of_calls, self.for_calls = np.random.default_rng(0), of_calls, 0

    def drawn(self, method: str, *given: Any, **options: Any) -> Any:
        """What a method gives."""
        numbers = getattr(np.random.Generator, method)(self, *given, **options)
        once = method == "choice" and not (given[2] if len(given) > 2 else options.get("replace", True))
        if not isinstance(numbers, np.ndarray) or not numbers.size or "out" in options or once:
            return numbers
        others = getattr(self.other, method)(*given, **options)
        axes = [axis for axis, size in enumerate(numbers.shape) if size == COUNT]
        if axes:
            first = tuple(0 if axis == axes[0] else slice(None) for axis in range(numbers.ndim))
            numbers[first] = others[first]
        elif numbers.size % COUNT:
            self.for_calls += 1
            return others if self.of_calls else numbers
        return numbers


def _replaced(method: str) -> Callable[..., Any]:
    def drawn(self: Replacing, *given: Any, **options: Any) -> Any:
        return self.drawn(method, *given, **options)

    return drawn


for _method in DRAWING:
    setattr(Replacing, _method, _replaced(_method))


def check_each(where: str, task: Task, sets: Mapping[str, Any]) -> None:
    """Refuse samples that are drawn, or changed at random, by what others of their call are."""
    begun = partial(task.streams.generator, "batch")
    method, mixed = DRAW, False
    if DRAW in sets and isinstance(task, DrawnTask):
        mixed = depend_on_each_other(lambda generator: torch.cat(task.draw(generator, COUNT), dim=1), begun)
    elif AUGMENTED in sets:
        given, method = torch.as_tensor(sets[TRAIN][0]), AUGMENTED
        some = given[torch.arange(COUNT) % len(given)]
        others = some.clone()
        others[0] = 2 * others[0] + 1
        mixed = others_differ(*(task.augmented(x.clone(), begun()) for x in (some, others)))
        mixed = mixed or depend_on_each_other(lambda each: task.augmented(some.clone(), each), begun)
    if mixed:
        raise PhasediagError(
            f"{where}.{method}: samples depend on the others of their call, which serves many steps: a loop "
            "that draws each batch alone would train on others; let each follow from numbers of its own (by "
            "moments that are known, by a teacher of self.streams.generator('teacher'))"
        )


def depend_on_each_other(draw: Drawing, begun: Callable[[], np.random.Generator]) -> bool:
    """Whether samples of a call change with the random numbers of another one.

    Parameters
    ----------
    begun
        Gives a generator, each time at the same place. What cannot draw from another one is not known.
    """
    counted, plain = Replacing(begun(), of_calls=False), draw(begun())
    try:
        if others_differ(plain, draw(counted)):
            return True
        for_call = 0 < counted.for_calls < COUNT
        return for_call and others_differ(plain, draw(Replacing(begun(), of_calls=True)))
    except Exception:
        return False


def others_differ(one: Tensor, other: Tensor) -> bool:
    """Whether samples after the first differ, shapes (COUNT, numbers)."""
    scale = one.double().abs().max().nan_to_num(1.0, 1.0, 1.0)
    return bool(((one - other)[1:].double().abs() > ROUNDING * scale).any())
