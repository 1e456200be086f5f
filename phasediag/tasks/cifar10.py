"""Small colour photographs: CIFAR-10."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from phasediag.errors import PhasediagError
from phasediag.tasks._archives import Archive
from phasediag.tasks._images import NOT_BOTH, Images, ImageTask, image_parameters
from phasediag.trial import Constraint, Parameter

SOURCE: Final = "https://www.cs.toronto.edu/~kriz"
FOLDER: Final = "cifar-10-batches-py"


class Cifar10(ImageTask):
    """Photographs of ten kinds of things (A. Krizhevsky, 2009).

    50,000 training and 10,000 test images of 32 x 32 pixels in three colours, ten classes.
    """

    dataset: ClassVar[str] = "cifar10"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    declares: ClassVar[tuple[Parameter, ...]] = image_parameters(50_000, 10_000)
    constraints: ClassVar[tuple[Constraint, ...]] = (NOT_BOTH,)
    archives: ClassVar[tuple[Archive, ...]] = (
        Archive(name="cifar-10-python.tar.gz", url=f"{SOURCE}/cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a"),
    )  # fmt: skip

    @staticmethod
    def read(paths: Sequence[Path]) -> Images:
        """The images in the archive: six pickled dictionaries, which are read as its checksum is known."""
        batches = [f"data_batch_{number}" for number in range(1, 6)]
        held = {}
        try:
            with tarfile.open(paths[0]) as archive:
                for name in (*batches, "test_batch"):
                    member = archive.extractfile(f"{FOLDER}/{name}")
                    assert member is not None
                    held[name] = pickle.load(member, encoding="bytes")
        except (tarfile.TarError, KeyError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise PhasediagError(
                f"{paths[0]} cannot be read ({error}); remove it, and it is downloaded"
            ) from error
        x = {
            name: np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32) for name, batch in held.items()
        }
        y = {name: np.asarray(batch[b"labels"], np.uint8) for name, batch in held.items()}
        return Images(
            x=np.concatenate([x[name] for name in batches]), y=np.concatenate([y[name] for name in batches]),
            x_test=x["test_batch"], y_test=y["test_batch"],
        )  # fmt: skip
