"""An error of the user's code is told with her line, whatever library it came from."""

from __future__ import annotations

import numpy as np
import pytest

from phasediag.source_lines import line_of, of_the_user


def test_an_error_in_a_compiled_library_has_the_line_that_called_it() -> None:
    """Its last file is `numpy/random/_generator.pyx`, which was the user's before."""
    with pytest.raises(ValueError, match="larger sample") as caught:
        np.random.default_rng(0).choice(2, 3, replace=False)
    assert line_of(caught.value).startswith(f"{__file__}:")


@pytest.mark.parametrize("name", ["<string>", "<frozen os>", "pandas/_libs/lib.pyx", np.__file__])
def test_what_is_not_the_users(name: str) -> None:
    assert not of_the_user(name)
