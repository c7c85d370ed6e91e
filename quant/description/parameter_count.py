"""Owns how many weights a model is said to have: in all, and per expert where there are experts.

Source: gguf-py, gguf_writer.py, get_total_parameter_count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from quant.description.model_name import size_label_of


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """The weights of a model."""

    total: int
    n_expert: int
    """0 in a dense model."""
    with_one_expert: int
    """What is left if every stack of experts holds but one."""

    @property
    def size_label(self) -> str:
        """`1.8B`, or `8x7B`: as many times the model with one expert, though they share parts."""
        if not self.n_expert:
            return size_label_of(self.total)
        return f"{self.n_expert}x{size_label_of(self.with_one_expert)}"


def count_parameters(shapes: Mapping[str, tuple[int, ...]]) -> ParameterCount:
    """The weights of tensors, by name and shape; what is called `_exps.` is a stack of experts."""
    stacks = [shape for name, shape in shapes.items() if "_exps." in name and len(shape) > 2]
    total = sum(math.prod(shape) for shape in shapes.values())
    saved = sum(math.prod(shape) // shape[0] * (shape[0] - 1) for shape in stacks)
    n_expert = sum(shape[0] for shape in stacks) // len(stacks) if stacks else 0
    return ParameterCount(total, n_expert, total - saved)
