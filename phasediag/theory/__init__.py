"""The theorems of the paper, made to run: each against networks that the engine trains."""
