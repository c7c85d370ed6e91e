"""Checkpoints: which files, which tensors are in them, how their bits become numbers."""
