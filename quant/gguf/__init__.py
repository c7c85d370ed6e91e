"""The GGUF format: its numbers, reading a header, writing one. Knows nothing of checkpoints."""
