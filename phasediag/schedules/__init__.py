"""One schedule of the learning rate a file; the contract is in `phasediag.training.schedules`.

The name of the file is the name that a grid gives; nothing else needs to know of it. Files whose names begin
with an underscore hold what several schedules share. They are read whenever a grid is: torch is imported
inside of methods.
"""
