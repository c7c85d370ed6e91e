"""Owns which layers of an architecture see only a sliding window, where the file does not say.

Most files name the window and leave the pattern to the runtime, so llama.cpp's own choice has to
be repeated. Source: `load_arch_hparams` in src/models/*.cpp and `set_swa_pattern` in
src/llama-hparams.cpp at the pinned version; names as in src/llama-arch.cpp.
"""

from __future__ import annotations

from typing import NamedTuple

IGNORES_WINDOWS = frozenset({"phi3"})
"""Architectures whose windows llama.cpp switches off, whatever the file says."""


class WindowRule(NamedTuple):
    """One layer in every `period` sees everything: the last, or the first."""

    period: int
    default: int = 0
    """Window in tokens where the file names none; 0 means no sliding window."""
    is_dense_first: bool = False

    def layers(self, n_layer: int, period: int) -> tuple[bool, ...]:
        """Whether each layer has a window; a period of 0 means that all have."""
        if period == 0:
            return (True,) * n_layer
        dense = 0 if self.is_dense_first else period - 1
        return tuple(i % period != dense for i in range(n_layer))


_RULES = {
    "afmoe": WindowRule(4),
    "cohere2": WindowRule(4),
    "cohere2moe": WindowRule(4, is_dense_first=True),
    "exaone-moe": WindowRule(4),
    "gemma2": WindowRule(2, default=4096),
    "gemma3": WindowRule(6),
    "gemma3n": WindowRule(5),
    "gpt-oss": WindowRule(2),
    "laguna": WindowRule(4, is_dense_first=True),
    "llama4": WindowRule(4, default=8192),
    "mellum": WindowRule(4),
    "muse-glimmer": WindowRule(4),
    "olmo2": WindowRule(4),
    "plamo3": WindowRule(8),
    "smallthinker": WindowRule(4, is_dense_first=True),
}


def window_rule(arch: str, n_layer: int) -> WindowRule | None:
    """llama.cpp's rule for an architecture, None where it has no sliding windows of its own."""
    if arch == "exaone4" and n_layer == 64:  # only the 32B has windows
        return WindowRule(4, default=4096)
    return _RULES.get(arch)
