"""A data set checked before training: every fault with file, line and remedy, and its numbers.

`dataset.check_dataset` does all of it. Nothing is imported here: the processes that look into
videos import this folder too, and need neither tables nor torch.
"""
