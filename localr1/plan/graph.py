"""Owns what is kept of a compute graph: its tensors, in the order in which ggml computes them.

Mirrors `ggml_visit_parents_graph` (ggml/src/ggml.c) of llama.cpp at the pinned version. A graph
holds for a context of any length: how many KV cells there are is left open.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.cache_types import CacheType

F32 = 4
F16 = 2
I64 = 8
I32 = 4

ALL_CELLS = -1
"""Stands in `dims` for the KV cells of a layer that sees everything."""
WINDOWED_CELLS = -2
"""The same of a layer with a sliding window."""

Cells = tuple[int, int]
"""How many there are of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """What flash attention looks up in the cache of a layer; some backends want room by that."""

    cells: int
    """`ALL_CELLS` or `WINDOWED_CELLS`, in each row of cells."""
    n_rows: int
    n_tokens: int
    n_head: int
    n_head_kv: int
    dim_k: int
    dim_v: int
    type_k: CacheType
    type_v: CacheType
    values_are_keys: bool = False
    """Values are a part of the keys (latent attention)."""


@dataclass(eq=False, slots=True)
class Tensor:
    """One node of a graph: only what decides where it lies."""

    dims: tuple[int, ...]
    item_bytes: float = F32
    """Of a type that comes in blocks, a fraction."""
    sources: tuple[Tensor, ...] = ()
    view_of: Tensor | None = None
    """The tensor whose memory this one looks at; never itself a view."""
    may_overwrite: bool = False
    """The operation can write its result over an input of the same shape."""
    is_output: bool = False
    """Kept until the graph has run."""
    is_external: bool = False
    """Weights and caches: they lie in buffers of their own."""
    is_weight: bool = False
    """Not a cache: an operation rather runs where its weights lie."""
    is_expert: bool = False
    """A weight that may stay on the host when its layer does not."""
    is_norm: bool = False
    """A norm over which a weight is multiplied: llama.cpp may say where it runs."""
    attended: Attended | None = None
    """Of the result of flash attention."""
    step: int = 0
    """The part of the model that it belongs to, as the graph counted when it was added."""
    place: int | None = None
    """The backend that computes it; None where there is one only, or nobody said yet."""
    # notes of who builds a graph, and of the walk through it
    is_added: bool = False
    n_children: int = 0
    n_views: int = 0
    piece: int | None = None
    """The piece of memory that it owns now."""

    def n_bytes(self, cells: Cells) -> int:
        """Bytes of the data, with that many cells."""
        n_bytes = self.item_bytes
        for dim in self.dims:
            n_bytes *= dim if dim >= 0 else cells[-1 - dim]
        return int(n_bytes)


class Graph:
    """Tensors in the order in which ggml computes them."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.nodes: list[Tensor] = []
        self.step = 0
        """Given to every node that is added from now on."""

    def expand(self, tensor: Tensor) -> None:
        """Add a tensor and, before it, everything it needs that is not there yet."""
        if tensor.is_added:
            return
        tensor.is_added = True
        for source in tensor.sources:
            if not source.is_added:
                self.expand(source)
        if tensor.sources:
            tensor.step = self.step
            self.nodes.append(tensor)
        elif not tensor.is_external:
            self.inputs.append(tensor)
