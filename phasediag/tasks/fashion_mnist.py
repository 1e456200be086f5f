"""Articles of clothing: Fashion-MNIST."""

from __future__ import annotations

from typing import ClassVar, Final

from phasediag.tasks._archives import Archive
from phasediag.tasks._images import IdxTask, image_parameters
from phasediag.trial import Parameter

SOURCE: Final = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"


class FashionMnist(IdxTask):
    """Articles of clothing (H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747).

    60,000 training and 10,000 test images of 28 x 28 grey pixels, ten classes.
    """

    dataset: ClassVar[str] = "fashion_mnist"
    declares: ClassVar[tuple[Parameter, ...]] = image_parameters(60_000, 10_000)
    archives: ClassVar[tuple[Archive, ...]] = tuple(
        Archive(name=name, url=f"{SOURCE}/{name}", md5=packed, unpacked_md5=unpacked)
        for name, packed, unpacked in (
            (
                "train-images-idx3-ubyte.gz",
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                "25c81989df183df01b3e8a0aad5dffbe",
                "9018921c3c673c538a1fc5bad174d6f9",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                "bef4ecab320f06d8554ea6380940ec79",
                "8181f5470baa50b63fa0f6fddb340f0a",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                "bb300cfdad3c16e7a12a480ee83cd310",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
        )
    )
