"""One source of data a file, with all that is declared of it; `phasediag.training.task` says what a task is.

The name of the file is the name that a grid gives; nothing else needs to know of it. The files are read
whenever a grid is: torch is imported inside of methods.
"""
