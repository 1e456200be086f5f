"""One source of data a file; what a task is stands in `phasediag.training.data`."""
