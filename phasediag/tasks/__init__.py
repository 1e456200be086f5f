"""One source of data a file; what a task is stands in `phasediag.training.data`.

What a grid needs to know of a task is its declaration in `phasediag.tasks._declared`, from which the class
takes `registered`, `declares`, `constraints`, `always_fresh` and `population`.
"""
