"""localr1: a local runtime for reasoning models.

The package is the product's core: chat, planning, the engine's process and the command line.
It imports `quant` (checkpoints to GGUF) and `backends` (llama.cpp and devices); the terminal
interface in `tui` imports it. Nothing is imported here, so that `localr1 --help` stays instant.
"""

__version__ = "0.1.0"
