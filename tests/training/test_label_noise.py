"""Label noise of classes is the share of labels drawn anew; of numbers it is added, as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phasediag.identity import Identity
from phasediag.measuring.collapse import collapse_weight_decay
from phasediag.tasks.digits import Digits
from phasediag.tasks.linear_map import LinearMap
from phasediag.trial import Streams
from trained_tiles import grid_of, tile_of

DIGITS = {"task": "digits", "samples": 400, "width": 4, "steps": 3, "batch_size": 16}
SHARES = [0.0, 0.1, 0.5, 1.0]


def labels(share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clean and noisy labels of 400 digits."""
    trials = grid_of({**DIGITS, "label_noise": share}, {"weight_decay": [0.0, 0.1]}, seed=seed).trials()
    tile = tile_of(trials)
    data = tile.batches.training_set()
    noisy = Digits.noisy(data.y[0], data.noise[0], tile.rates["label_noise"][0])
    assert torch.equal(noisy.sum(dim=1), torch.ones(len(noisy)))
    return data.y[0].argmax(1).numpy(), noisy.argmax(1).numpy()


@pytest.mark.parametrize("share", SHARES)
def test_so_many_labels_are_drawn_anew(share: float) -> None:
    clean, noisy = labels(share)
    expected, spread = 0.9 * share, np.sqrt(0.9 * share * (1 - 0.9 * share) / 400)  # a tenth stays by chance
    assert abs(np.mean(clean != noisy) - expected) <= 4 * spread + 1e-12
    if share == 1.0:
        counts = np.bincount(noisy, minlength=10)
        assert np.all(abs(counts - 40) < 4 * np.sqrt(400 * 0.09))


def test_more_noise_changes_more_of_the_same_labels() -> None:
    """Common random numbers: what is drawn anew at 0.1 is drawn anew, to the same label, at 0.5."""
    clean, little = labels(0.1)
    _, much = labels(0.5)
    changed = clean != little
    assert np.array_equal(little[changed], much[changed])


def test_test_labels_have_no_noise() -> None:
    tile = tile_of(grid_of({**DIGITS, "label_noise": 1.0}, {"weight_decay": [0.0, 0.1]}).trials())
    data = tile.batches.test_set()
    zero = torch.zeros(())
    assert torch.equal(Digits.noisy(data.y[0], data.noise[0], zero), data.y[0])


@pytest.mark.parametrize("noise", ["quenched", "fresh"])
def test_noise_in_training_is_the_noise_that_is_told(noise: str) -> None:
    """A network that gives zeros has a loss of 1 a sample, whatever the labels, and steps towards them."""
    fixed = {**DIGITS, "noise": noise, "init_scale": 0.0, "learning_rate": 0.5, "batch_size": 0, "depth": 1}
    trials = grid_of({**fixed, "steps": 1}, {"label_noise": [0.0, 1.0]}).trials()
    tile = tile_of(trials)
    before = tile.losses()[0]
    assert torch.allclose(before, torch.ones(2))
    batch = tile.batches.at(0)
    tile.advance(1)
    for row, share in enumerate(trials.values("label_noise").tolist()):
        y = Digits.noisy(batch.y[0], batch.noise[0], torch.tensor(share))
        expected = (
            y.T @ batch.x[0] / len(y)
        )  # minus the slope of the mean squared error at zero, over 2, times 0.5
        assert torch.allclose(tile.weights["layers.0.weight"][row], expected, atol=1e-6)


def test_numbers_get_noise_added() -> None:
    y, e = torch.ones(3, 2), torch.tensor([[1.0, -1.0]] * 3)
    assert torch.equal(LinearMap.noisy(y, e, torch.tensor(0.5)), torch.tensor([[1.5, 0.5]] * 3))
    assert not LinearMap.redraws_labels()


def test_a_task_with_noise_of_its_own_has_it_added() -> None:
    class Own(Digits):
        def unit_noise(self, generator: np.random.Generator, count: int) -> torch.Tensor:
            return torch.zeros(count, 10)

    assert not Own.redraws_labels()


def test_a_share_is_at_most_one() -> None:
    with pytest.raises(Exception, match=r"label_noise: 1\.5 is not allowed"):
        grid_of({**DIGITS, "label_noise": 1.5})


def test_only_noisy_trials_of_classes_count_as_new() -> None:
    """Ids of trials without label noise are what they were when noise was added to the targets."""
    grid = grid_of(DIGITS, {"label_noise": [0.0, 0.5]})
    trials = grid.trials()
    added, _ = Identity(parameters=grid.parameters).ids(trials.columns, trials.replicate, trials.grid_seed)
    assert (trials.trial_id == added).tolist() == [True, False]


@pytest.mark.parametrize(("noise", "share"), [("quenched", 0.0), ("quenched", 0.4), ("fresh", 0.4)])
def test_the_threshold_of_collapse_is_that_of_the_noisy_labels(noise: str, share: float) -> None:
    fixed = {**DIGITS, "depth": 2, "activation": "linear", "noise": noise, "label_noise": share}
    tile = tile_of(grid_of(fixed, {"weight_decay": [0.0, 0.1]}).trials())
    data = tile.batches.training_set()
    x, y = data.x[0].double(), data.y[0].double()
    drawn = Digits.noisy(y, data.noise[0].double(), torch.tensor(share, dtype=torch.float64))
    targets = drawn if noise == "quenched" else (1 - share) * y + share / 10
    expected = 2 * float(torch.linalg.matrix_norm(targets.T @ x / len(x), ord=2))
    assert collapse_weight_decay(tile) == pytest.approx([expected, expected], rel=1e-5)


def test_labels_do_not_depend_on_the_trial() -> None:
    task = Digits({"samples": 10, "input_scale": 1.0}, Streams(3))
    first = task.unit_noise(Streams(3).generator("noise"), 50)
    assert first.shape == (50, 11)
    assert torch.equal(first, task.unit_noise(Streams(3).generator("noise"), 50))
