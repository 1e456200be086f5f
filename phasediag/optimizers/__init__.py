"""One optimizer a file, with all that is declared of it; the contract is in `phasediag.training.optimizers`.

The name of the file is the name that a grid gives; nothing else needs to know of it. Files whose names begin
with an underscore hold what several optimizers share. They are read whenever a grid is: torch is imported
inside of methods.
"""
