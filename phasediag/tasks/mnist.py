"""Handwritten digits: MNIST."""

from __future__ import annotations

from typing import ClassVar, Final

from phasediag.tasks._archives import Archive
from phasediag.tasks._images import IdxTask, image_parameters
from phasediag.trial import Parameter

SOURCE: Final = "https://ossci-datasets.s3.amazonaws.com/mnist"


class Mnist(IdxTask):
    """Handwritten digits (Y. LeCun, C. Cortes and C. Burges, 1998).

    60,000 training and 10,000 test images of 28 x 28 grey pixels, ten classes.
    """

    dataset: ClassVar[str] = "mnist"
    declares: ClassVar[tuple[Parameter, ...]] = image_parameters(60_000, 10_000)
    archives: ClassVar[tuple[Archive, ...]] = tuple(
        Archive(name=name, url=f"{SOURCE}/{name}", md5=packed, unpacked_md5=unpacked)
        for name, packed, unpacked in (
            (
                "train-images-idx3-ubyte.gz",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "6bbc9ace898e44ae57da46a324031adb",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "a25bea736e30d166cdddb491f175f624",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                "9fb629c4189551a2d022fa330f9573f3",
                "2646ac647ad5339dbf082846283269ea",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                "ec29112dd5afa0611ce80d1b7f02629c",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        )
    )
