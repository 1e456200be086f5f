"""House numbers: SVHN."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from phasediag.errors import PhasediagError
from phasediag.tasks._archives import Archive
from phasediag.tasks._images import NOT_BOTH, Images, ImageTask, image_parameters
from phasediag.trial import Constraint, Parameter

SOURCE: Final = "http://ufldl.stanford.edu/housenumbers"


class Svhn(ImageTask):
    """House numbers in photographs of streets, one digit an image (Y. Netzer et al., 2011).

    73,257 training and 26,032 test images of 32 x 32 pixels in three colours, ten classes.
    """

    dataset: ClassVar[str] = "svhn"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    declares: ClassVar[tuple[Parameter, ...]] = image_parameters(73_257, 26_032)
    constraints: ClassVar[tuple[Constraint, ...]] = (NOT_BOTH,)
    archives: ClassVar[tuple[Archive, ...]] = (
        Archive(
            name="train_32x32.mat", url=f"{SOURCE}/train_32x32.mat", md5="e26dedcc434d2e4c54c9b2d4a06d8373"
        ),
        Archive(
            name="test_32x32.mat", url=f"{SOURCE}/test_32x32.mat", md5="eb5a983be6a315427106f1b164d9cef3"
        ),
    )

    @staticmethod
    def read(paths: Sequence[Path]) -> Images:
        """The images in the two files of MATLAB, where the class of the digit 0 is 10."""
        from scipy.io import loadmat

        arrays = []
        for path in paths:
            try:
                held = loadmat(path)
                arrays += [held["X"].transpose(3, 2, 0, 1), held["y"].ravel() % 10]
            except (ValueError, KeyError, OSError, NotImplementedError) as error:
                raise PhasediagError(
                    f"{path} cannot be read ({error}); remove it, and it is downloaded"
                ) from error
        x, y, x_test, y_test = (np.ascontiguousarray(array, np.uint8) for array in arrays)
        return Images(x=x, y=y, x_test=x_test, y_test=y_test)
