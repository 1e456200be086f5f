"""One architecture a file, with all that is declared of it; `phasediag.training.model` says what a model is.

The name of the file is the name that a grid gives; nothing else needs to know of it. Files whose names begin
with an underscore hold what several models share. They are read whenever a grid is: torch is imported inside
of methods.
"""
