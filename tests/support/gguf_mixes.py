"""Condenses which tensors get another type than most: by type and part, runs of layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Condensed = dict[str, dict[str, str]]
"""{"Q6_K": {"attn_v.weight": "0-9 12 15-17", "output.weight": ""}}"""

_LAYER = re.compile(r"blk\.(\d+)\.(.*)")


def condense(types: Mapping[str, str], default: str) -> Condensed:
    """What differs from `default` in a map from tensor names to types."""
    layers: dict[str, dict[str, list[int]]] = {}
    for name, tensor_type in types.items():
        if tensor_type == default:
            continue
        match = _LAYER.match(name)
        part = layers.setdefault(tensor_type, {}).setdefault(match[2] if match else name, [])
        part += [int(match[1])] if match else []
    return {
        tensor_type: {part: _runs(sorted(numbers)) for part, numbers in sorted(parts.items())}
        for tensor_type, parts in sorted(layers.items())
    }


def _runs(numbers: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
