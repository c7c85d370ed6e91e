"""Owns the few kinds of nodes that all graphs are made of, and what ggml may do with each."""

from __future__ import annotations

from localr1.plan.graph import Tensor

WEIGHT = Tensor((1,), is_external=True, is_weight=True)
"""Any weight whose size does not matter, because it lies elsewhere and is never copied."""


def overwrite(tensor: Tensor, *others: Tensor) -> Tensor:
    """The result of an operation that can write over an input of the same shape."""
    return Tensor(tensor.dims, tensor.item_bytes, sources=(tensor, *others), may_overwrite=True)


def normed(tensor: Tensor) -> Tensor:
    """A norm and the product with its weight."""
    norm = overwrite(tensor)
    norm.is_norm = True
    return scaled(norm)


def scaled(tensor: Tensor) -> Tensor:
    """The product with a weight as long as a row, or the sum with a bias."""
    weight = Tensor(tensor.dims[:1], is_external=True, is_weight=True)
    return overwrite(tensor, weight)


def projected(states: Tensor, *dims: int, weight: Tensor = WEIGHT) -> Tensor:
    """The product of a weight with `states`, of the given shape."""
    return Tensor(dims, sources=(weight, states))


def gated(gate: Tensor, up: Tensor, *, in_one_step: bool) -> Tensor:
    """`up` times what the activation makes of `gate`."""
    if in_one_step:
        return Tensor(up.dims, sources=(gate, up))
    return overwrite(overwrite(gate), up)


def copied(tensor: Tensor) -> Tensor:
    """The same numbers side by side, in memory of their own."""
    return Tensor(tensor.dims, tensor.item_bytes, sources=(tensor,))


def view(tensor: Tensor, *dims: int) -> Tensor:
    """The same memory under another shape."""
    root = tensor if tensor.view_of is None else tensor.view_of
    return Tensor(dims, tensor.item_bytes, (tensor,), view_of=root)
