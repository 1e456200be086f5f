"""Public data sets: official formats from generated files, the cache, transformations, augmentation."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from phasediag.errors import PhasediagError
from phasediag.tasks import _archives, _images
from phasediag.tasks._archives import Archive, files_of
from phasediag.tasks._images import ImageTask, gaussian_map
from phasediag.tasks.cifar10 import Cifar10
from phasediag.tasks.fashion_mnist import FashionMnist
from phasediag.tasks.mnist import Mnist
from phasediag.tasks.svhn import Svhn
from phasediag.training.data import Batches, Task
from small_sweeps import launched, trials
from trained_tiles import grid_of, task_of

RNG = np.random.default_rng(0)
SETS: dict[str, type[ImageTask]] = {
    "mnist": Mnist, "fashion_mnist": FashionMnist, "cifar10": Cifar10, "svhn": Svhn
}  # fmt: skip


def pixels(count: int, *shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return RNG.integers(0, 10, count, dtype=np.uint8)


def idx(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def official(name: str) -> tuple[dict[str, bytes], list[np.ndarray[Any, Any]]]:
    """Files of 40 training and 20 test images as a data set's authors write them, and what they hold."""
    if name in ("mnist", "fashion_mnist"):
        held = [pixels(40, 28, 28), labels(40), pixels(20, 28, 28), labels(20)]
        names = [archive.name for archive in SETS[name].archives]
        files = {n: gzip.compress(idx(a)) for n, a in zip(names, held, strict=True)}
        return files, [held[0][:, None], held[1], held[2][:, None], held[3]]
    held = [pixels(40, 3, 32, 32), labels(40), pixels(20, 3, 32, 32), labels(20)]
    if name == "svhn":
        files = {}
        for split, x, y in (("train", *held[:2]), ("test", *held[2:])):
            stream = io.BytesIO()
            savemat(stream, {"X": x.transpose(2, 3, 1, 0), "y": np.where(y == 0, 10, y)[:, None]})
            files[f"{split}_32x32.mat"] = stream.getvalue()
        return files, held
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        batches = {
            f"data_batch_{i + 1}": (held[0][8 * i : 8 * i + 8], held[1][8 * i : 8 * i + 8]) for i in range(5)
        }
        for member, (x, y) in {**batches, "test_batch": (held[2], held[3])}.items():
            content = pickle.dumps({b"data": x.reshape(len(x), -1), b"labels": y.tolist()})
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {"cifar-10-python.tar.gz": stream.getvalue()}, held


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of data sets without a network; nothing is remembered of another one."""
    monkeypatch.setenv(_archives.FOLDER, str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "*")
    for remembered in (_images._images, _images._moments):
        remembered.cache_clear()
    return tmp_path / "data"


@pytest.fixture
def small(data: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[np.ndarray[Any, Any]]]:
    """Small official files of every data set in the cache, under their own checksums."""
    held = {}
    for name, cls in SETS.items():
        files, held[name] = official(name)
        (data / name).mkdir(parents=True)
        archives = []
        for archive in cls.archives:
            (data / name / archive.name).write_bytes(files[archive.name])
            archives.append(Archive(name=archive.name, url="", md5=md5(files[archive.name]).hexdigest()))
        monkeypatch.setattr(cls, "archives", tuple(archives))
    return held


def task(name: str, **fixed: Any) -> Task:
    values = {"task": name, "samples": 30, "test_samples": 10, "batch_size": 8, **fixed}
    return task_of(grid_of(values).trials(), 0)


@pytest.mark.parametrize("name", SETS)
def test_official_files_are_read_as_they_are(name: str, small: dict[str, Any]) -> None:
    x, y, x_test, y_test = small[name]
    read = SETS[name].read(files_of(name, SETS[name].archives))
    for own, other in ((read.x, x), (read.y, y), (read.x_test, x_test), (read.y_test, y_test)):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("name", SETS)
def test_images_are_centred_by_their_channels_and_chosen_in_order(name: str, small: dict[str, Any]) -> None:
    x, y, _, y_test = (part.astype(np.float64) for part in small[name])
    normal = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    made = task(name, input_scale=2.0)
    own, target = (part.numpy() for part in made.train_set())
    rows = made.streams.generator("data").permutation(40)[:30]
    np.testing.assert_allclose(own, 2 * normal.reshape(40, -1)[rows])
    np.testing.assert_array_equal(target.argmax(1), y[rows])
    own, target = (part.numpy() for part in made.test_set())
    assert own.shape == (10, x[0].size)
    np.testing.assert_array_equal(target.argmax(1), y_test[:10])
    assert made.redraws_labels()


def test_a_random_matrix_is_that_of_its_seed_and_invertible(small: dict[str, Any]) -> None:
    plain, first, again, other = (
        task("mnist", **kind).train_set()[0].numpy()
        for kind in ({}, *({"transform": "gaussian", "transform_seed": seed} for seed in (1, 1, 2)))
    )
    matrix = gaussian_map(784, 1)
    np.testing.assert_allclose(first, plain @ matrix.T)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.linalg.matrix_rank(matrix) == 784
    assert matrix.var() == pytest.approx(1 / 784, rel=0.01)


@pytest.mark.parametrize("augment", ["crop", "flip_crop"])
def test_steps_see_images_moved_and_losses_do_not(augment: str, small: dict[str, Any]) -> None:
    """Each is the image, turned or not, behind zeros at two edges; the same for the same step."""
    worlds = [task("cifar10", augment=augment, samples=1, batch_size=200)]
    batches = Batches(worlds, 200, False, torch.float64, torch.device("cpu"))
    image = worlds[0].train_set()[0].numpy().reshape(3, 32, 32)
    np.testing.assert_array_equal(batches.training_set().x[0, 0].numpy(), image.ravel())
    seen = batches.at(3).x[0].numpy().reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(seen, batches.at(3).x[0].numpy().reshape(-1, 3, 32, 32))
    assert np.abs(seen - batches.at(4).x[0].numpy().reshape(-1, 3, 32, 32)).max() > 0
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    crops = {padded[:, i : i + 32, j : j + 32].tobytes(): (i, j) for i in range(9) for j in range(9)}
    turned = [each.tobytes() not in crops for each in seen]
    for each, other_way in zip(seen, turned, strict=True):
        upright = each[:, :, ::-1] if other_way else each
        assert np.ascontiguousarray(upright).tobytes() in crops
    assert sum(turned) == 0 if augment == "crop" else 60 < sum(turned) < 140
    assert len({crops[e.tobytes()] for e, other_way in zip(seen, turned, strict=True) if not other_way}) > 40


def test_a_full_batch_that_is_augmented_changes_from_step_to_step(small: dict[str, Any]) -> None:
    worlds = [task("svhn", augment="crop", batch_size=0)]
    batches = Batches(worlds, 0, False, torch.float64, torch.device("cpu"))
    assert not batches.constant
    assert float((batches.at(0).x - batches.at(1).x).abs().max()) > 0
    assert Batches([task("svhn", batch_size=0)], 0, False, torch.float64, torch.device("cpu")).constant


def test_augmented_trials_are_the_same_alone_and_in_company(small: dict[str, Any], tmp_path: Path) -> None:
    """Law 1: what a trial sees does not hang on the trials beside it."""
    fixed = "{task: mnist, samples: 30, test_samples: 10, width: 4, batch_size: 8, steps: 20, augment: crop}"
    for name, axis in (("all", "[0.01, 0.1]"), ("one", "[0.1]")):
        text = f"name: {name}\nfixed: {fixed}\naxes:\n  weight_decay: {axis}\nreplicates: 2\n"
        launched(tmp_path / name, text)
    both, alone = (trials(tmp_path / name / name) for name in ("all", "one"))
    shared = both.loc[alone.index]
    np.testing.assert_allclose(shared["train_loss"], alone["train_loss"], rtol=1e-5)
    assert shared["train_loss"].nunique() == 2


def test_transform_and_augment_are_not_both(small: dict[str, Any]) -> None:
    with pytest.raises(PhasediagError, match="moves pixels"):
        grid_of({"task": "mnist", "transform": "gaussian", "augment": "crop"})


def test_an_unpacked_file_serves_and_another_is_refused(data: Path) -> None:
    (data / "set").mkdir(parents=True)
    content = b"content"
    archive = Archive(
        name="a.gz", url="http://127.0.0.1:9/a.gz", md5="0" * 32, unpacked_md5=md5(content).hexdigest()
    )
    (data / "set" / "a").write_bytes(content)
    assert files_of("set", [archive]) == [data / "set" / "a"]
    (data / "set" / "a").write_bytes(b"other")
    with pytest.raises(PhasediagError, match="is not the official file"):
        files_of("set", [archive])


def test_a_download_that_fails_names_all_that_is_missing_and_the_reason_alone(data: Path) -> None:
    there = b"content"
    (data / "set").mkdir(parents=True)
    (data / "set" / "there").write_bytes(there)
    archives = [
        Archive(name=name, url=f"http://127.0.0.1:9/{name}", md5=md5(there).hexdigest())
        for name in ("there", "first", "second")
    ]
    with pytest.raises(PhasediagError) as caught:
        files_of("set", archives)
    assert "/first cannot be downloaded (Connection refused); put first, second there" in str(caught.value)


def test_without_files_and_network_nothing_is_started(data: Path, tmp_path: Path) -> None:
    """One sentence: where it was looked for, where it is to be had, what to do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mnist, "archives", (Archive(name="a.gz", url="http://127.0.0.1:9/a.gz", md5="0" * 32),))
        with pytest.raises(PhasediagError) as caught:
            launched(
                tmp_path, "name: g\nfixed: {task: mnist, width: 4, steps: 5}\naxes: {weight_decay: [0.1]}\n"
            )
    assert str(data / "mnist") in str(caught.value)
    assert "http://127.0.0.1:9/a.gz cannot be downloaded" in str(caught.value)
    assert "PHASEDIAG_DATA" in str(caught.value)
    assert not [path for path in (tmp_path / "g").rglob("*") if path.suffix in (".parquet", ".yaml")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08\x01\0\0\0\x05abc", gzip.compress(b"x", mtime=0)],
    ids=["empty", "short", "packed"],
)
def test_what_is_no_idx_file_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / ("a.gz" if content[:2] == b"\x1f\x8b" else "a")
    path.write_bytes(content)
    with pytest.raises(PhasediagError, match="no IDX file"):
        _images.read_idx(path)


def test_the_identity_has_its_inputs_for_targets() -> None:
    made = task("identity", inputs=7, input_scale=3.0)
    x, y = (part.numpy() for part in made.train_set())
    assert x.shape == (30, 7)
    np.testing.assert_array_equal(x, y)
    assert x.std() == pytest.approx(3, rel=0.2)
    assert made.sizes(made.values) == (7, 7)
