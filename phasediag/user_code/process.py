"""A process as it was before a user's code ran in it: settings put back, or refused where numbers follow.

What is watched is one table of settings, Python's and the system's (`process_settings.py`) and those of
libraries (`library_settings.py`). Functions and classes that are replaced are looked for in another way
(`replaced.py`): there are some hundred thousand, of which the text of the user's files says which to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from phasediag.locks import PROCESS
from phasediag.user_code.library_settings import OF_LIBRARIES
from phasediag.user_code.process_settings import OF_PROCESS, ProcessSetting

SETTINGS: Final = (*OF_PROCESS, *OF_LIBRARIES)
"""All that is watched, in the order in which it is put back."""


class SettingError(RuntimeError):
    """A setting by which other networks come out otherwise, changed by a user's code; what to do instead."""


@contextmanager
def kept_process() -> Iterator[None]:
    """Put back what a user's code changes of the process, and refuse the change of what decides on numbers.

    No other thread trains or runs such code meanwhile: its changes would be taken for those of this one.
    By these other networks of the process would be built or trained otherwise, too, in an order that nobody
    promises.

    Raises
    ------
    SettingError
        Where the default type or device is another one afterwards, gradients, inference mode or autocast are
        switched on or off, products are rounded otherwise, or hooks are there for all modules.
    """
    with PROCESS:
        before = {setting: setting.read() for setting in SETTINGS if setting.there}
        try:
            yield
        except BaseException:
            _put_back(before)
            raise
        if fault := _put_back(before):
            raise SettingError(fault)


def _put_back(before: dict[ProcessSetting, Any]) -> str:
    """Put settings back; the first fault of a change that is refused, '' where there is none."""
    faults = []
    for setting in SETTINGS:
        if setting not in before and not (setting.loaded and setting.there):
            continue
        held = before[setting] if setting in before else setting.loaded() if setting.loaded else None
        if setting.kept(held):
            continue
        if setting.fault is not None and (fault := setting.fault(setting.read())):
            faults.append(fault)
        with suppress(OSError, ValueError):  # a folder, or cores, that are gone by now
            setting.write(held)
    return faults[0] if faults else ""
