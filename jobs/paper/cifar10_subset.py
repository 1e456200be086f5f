"""Write cifar10-subset.npz, as `task: cifar10-subset.npz` reads it, from an archive of CIFAR-10 images.

usage: python jobs/paper/cifar10_subset.py SUBSET.npz [OUTPUT]

SUBSET.npz has `train_images` and `test_images`, uint8 of shape (images, 3, 32, 32), and `train_labels` and
`test_labels`, whole numbers. OUTPUT (default: cifar10-subset.npz beside this file, where the
grid looks for it) has the images flattened, float32, centred and scaled by the moments of each channel over
the training images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(source: Path, output: Path) -> None:
    """Convert `source` into `output`."""
    with np.load(source) as given:
        arrays = {name: given[name] for name in given.files}
    train = arrays["train_images"]
    centre = train.mean(axis=(0, 2, 3), keepdims=True)
    spread = train.std(axis=(0, 2, 3), keepdims=True)

    def scaled(images: np.ndarray) -> np.ndarray:
        return ((images - centre) / spread).astype(np.float32).reshape(len(images), -1)

    np.savez(
        output, x=scaled(train), y=arrays["train_labels"].astype(np.int64),
        x_test=scaled(arrays["test_images"]), y_test=arrays["test_labels"].astype(np.int64),
    )  # fmt: skip


if __name__ == "__main__":
    beside = Path(__file__).with_name("cifar10-subset.npz")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else beside)
