"""Many structures in one launch, in every way of training; each trial is that of a plain loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

import phasediag
from phasediag.grids.grid import read_grid
from phasediag.sweeps.reach import completed
from phasediag.sweeps.rerun import rerun
from zoo import plain_loop
from zoo.catalogue import NETWORKS, TASK_VALUES, TASKS, Animal
from zoo.claims import SLOW_WORDS, assert_as_claimed, assert_of_use, in_files
from zoo.comparison import (
    PLAIN_STEPS,
    TOLERANCE,
    Trained,
    axes_of,
    compared,
    grid_file,
    planned,
    varied,
    verdict,
)
from zoo.table import NETWORK_FILES

TRAINED = [animal for animal in NETWORKS if animal.refused is False]
ALIKE = [
    animal for animal in TASKS if animal.refused is False and animal.name.partition(":")[2] not in TASK_VALUES
]
ODD = (
    "Permuted", "PlainTensors", "FourierFeatures", "Temperature", "WeightNormed", "RandomFeatures",
    "FixedSizes", "PartlyFrozen", "TiedLayers", "FromBeside", "MaskedAttention", "ListOfWidths",
)  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings(SLOW_WORDS),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),  # of torch's compiler
]


def assert_rows_are_of_plain_loops(path: Path, storage: Path, **options: Any) -> None:
    """Launch a grid; every row has the losses of a plain loop."""
    outcome = phasediag.launch(path, str(storage), **options)
    grid = completed(read_grid(path))
    trials = grid.trials()
    assert (outcome.exit_code, outcome.status.ok) == (0, len(trials)), outcome.first_error
    rows = phasediag.load_trials(str(storage / grid.name)).set_index("trial_id")
    faults = []
    for row in range(len(trials)):
        plain = plain_loop.trained(trials, row, path.parent)
        recorded = rows.loc[trials.trial_id[row]]
        for column, loss in (("train_loss", plain.train_loss), ("test_loss", plain.test_loss)):
            if not abs(recorded[column] - loss) <= TOLERANCE * abs(loss):
                faults.append(
                    f"{dict(varied(trials, row))}: {column} {recorded[column]:.6g}, plain {loss:.6g}"
                )
    assert not faults, "\n".join(faults)


def company(folder: Path, animals: Sequence[Animal], **axes: Any) -> Path:
    """A grid of several networks, each with two decays (and inits) and two replicates."""
    return grid_file(folder, animals, axes_of(animals[0]) | axes, **PLAIN_STEPS)


@pytest.mark.slow
def test_odd_networks_in_mixed_company(folder: Path, tmp_path: Path) -> None:
    animals = [animal for animal in TRAINED if animal.name.partition(":")[2] in ODD]
    assert len(animals) == len(ODD)
    assert_rows_are_of_plain_loops(company(folder, animals), tmp_path, executor="inline", compile="off")


@pytest.mark.parametrize("animal", in_files("networks_padded"), ids=lambda a: a.name)
def test_widths_that_may_share_a_program(animal: Animal, folder: Path, tmp_path: Path) -> None:
    path = company(folder, [animal], width=[3, 8, 7])
    if sentence := planned(path):
        assert animal.refused is None, sentence
        assert_of_use(sentence, animal)
        assert "padded" in sentence
        return
    assert_rows_are_of_plain_loops(path, tmp_path, executor="inline", compile="off")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("executor", ["inline", "ray"])
@pytest.mark.parametrize("compile", ["off", "on"])
def test_all_networks_in_one_launch(executor: str, compile: str, folder: Path, tmp_path: Path) -> None:
    path = company(folder, TRAINED)
    assert_rows_are_of_plain_loops(path, tmp_path, executor=executor, compile=compile)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("noisy", [True, False], ids=["noisy", "plain"])
@pytest.mark.parametrize("executor", ["inline", "ray"])
@pytest.mark.parametrize("compile", ["off", "on"])
def test_all_tasks_in_one_launch(
    executor: str, compile: str, noisy: bool, folder: Path, tmp_path: Path
) -> None:
    """Those that need no values of their own; they differ in sizes, losses, classes and noise."""
    alike = [animal for animal in ALIKE if ("label_noise" in animal.fixed) == noisy]
    path = grid_file(folder, alike, axes_of(alike[0]), **PLAIN_STEPS)
    assert_rows_are_of_plain_loops(path, tmp_path, executor=executor, compile=compile)


def on_a_gpu(path: Path) -> Path:
    path.write_text(f"{path.read_text()}resources: {{gpus: 1}}\n")
    return path


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.timeout(1800)
def test_all_networks_on_a_gpu(folder: Path, tmp_path: Path) -> None:
    path = on_a_gpu(company(folder, TRAINED))
    assert_rows_are_of_plain_loops(path, tmp_path, executor="inline", compile="off")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ODD)
def test_odd_networks_compiled_for_a_gpu(name: str, folder: Path, tmp_path: Path) -> None:
    animals = [animal for animal in TRAINED if animal.name.partition(":")[2] == name]
    path = on_a_gpu(company(folder, animals))
    assert_rows_are_of_plain_loops(path, tmp_path, executor="inline", compile="on")


@pytest.mark.slow
@pytest.mark.parametrize("file", list(dict.fromkeys(a.name.partition(".")[0] for a in TRAINED)))
def test_a_rerun_gives_the_weights_of_the_plain_loop(file: str, folder: Path, tmp_path: Path) -> None:
    """A file at a time: a rerun reads the grid with all of its networks."""
    path = company(folder, [animal for animal in in_files(file) if animal.refused is False])
    phasediag.launch(path, str(tmp_path), executor="inline", compile="off")
    trials = read_grid(path).trials()
    for row in range(len(trials) - 1, 0, -4):
        again = rerun(tmp_path / "zoo", trials.trial_id[row], tmp_path / "again")
        weights = load_file(tmp_path / "again" / "weights.safetensors")
        plain = plain_loop.trained(trials, row, path.parent)
        ours = Trained(weights=weights, train_loss=again.train_loss or 0.0, test_loss=plain.test_loss)
        assert max(compared(ours, trials, row, path.parent))[0] <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("animal", in_files(*NETWORK_FILES, "tasks_trained"), ids=lambda a: a.name)
def test_compiled_programs_train_as_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder, compiled=True))


@pytest.mark.slow
@pytest.mark.parametrize("animal", in_files(*NETWORK_FILES, "tasks_trained"), ids=lambda a: a.name)
def test_single_precision_trains_as_plain_pytorch(animal: Animal, folder: Path) -> None:
    assert_as_claimed(animal, verdict(animal, folder, dtype="float32", **PLAIN_STEPS))
