"""Checkpoints to GGUF: readers, architectures, tokenizers, the quantisation recipe and the writer.

Knows nothing of engines, devices or terminals. One entry point: `quant.pipeline.convert`.
"""
