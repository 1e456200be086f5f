"""Places of workers as trials of Ray Tune, which claim packs one after the other. The only importer of ray.

What Ray does not publish is used in `quick_start` alone, where nothing depends on it.
"""

import os
from typing import Final

SETTINGS: Final = {
    # Sends reports of use over the network by default.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Tune would write JSON, CSV and TensorBoard files of each of its trials: the store is the record.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune would take Ctrl-C for itself, end without a drain, and leave what packs have reached behind.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Tune would save its state every few seconds, for a restore that is never made: the store is the record.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    # "No trial is running, but no new trial has been started": as usual where workers load torch.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
    # Tune's newer output goes through its trials at every step even with `verbose=0`, the older one does not.
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Set before Ray is imported, where the user has not; of Ray 2.59 and 2.60; others may ignore them."""
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
