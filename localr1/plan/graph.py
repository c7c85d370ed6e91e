"""Owns how ggml lays out the tensors of a compute graph: the size of a compute buffer.

A compute buffer is no sum of tensors. ggml walks the graph in the order it was built, gives each
result the best fitting hole, takes it back after the last use, and lets many operations write
over their input. `Graph` records just that much of a graph, `peak_bytes` repeats the walk. Both
mirror llama.cpp at the pinned version: `ggml_visit_parents_graph` (ggml/src/ggml.c) for the order,
`ggml_gallocr_alloc_graph_impl` and `ggml_dyn_tallocr_*` (ggml/src/ggml-alloc.c) for the layout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

F32 = 4
F16 = 2
I64 = 8
I32 = 4


@dataclass(eq=False, slots=True)
class Tensor:
    """One node of a graph: only what decides where it lies."""

    dims: tuple[int, ...]
    item_bytes: int = F32
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
    step: int = 0
    """The part of the model that it belongs to, as the graph counted when it was added."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the data."""
        return math.prod(self.dims) * self.item_bytes


class Graph:
    """Tensors in the order in which ggml computes them."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.nodes: list[Tensor] = []
        self.step = 0
        """Given to every node that is added from now on."""
        self._seen: set[int] = set()

    def expand(self, tensor: Tensor) -> None:
        """Add a tensor and, before it, everything it needs that is not there yet."""
        if id(tensor) in self._seen:
            return
        self._seen.add(id(tensor))
        for source in tensor.sources:
            self.expand(source)
        if tensor.sources:
            tensor.step = self.step
            self.nodes.append(tensor)
        elif not tensor.is_external:
            self.inputs.append(tensor)


@dataclass(slots=True)
class _Use:
    """What the walk knows about one tensor."""

    n_children: int = 0
    n_views: int = 0
    offset: int | None = None
    """None while the tensor owns no memory."""
    place: int = 0


class Peak(NamedTuple):
    """What a backend needs to run a graph."""

    n_bytes: int
    largest_bytes: int
    """The largest of the buffers that it is spread over; most are one buffer."""


@dataclass(slots=True)
class Arena:
    """Free blocks of one buffer, sorted by offset; the last one has no end, unless one is given."""

    alignment: int
    peak_bytes: int = 0
    blocks: list[tuple[int, float]] = field(default_factory=lambda: [(0, math.inf)])

    @property
    def peak(self) -> Peak:
        """How far it was ever filled."""
        return Peak(self.peak_bytes, self.peak_bytes)

    def take(self, n_bytes: int) -> int:
        """The smallest hole that is big enough, else the open end."""
        size = self.padded(n_bytes)
        hole = self.hole(size)
        return self.put(len(self.blocks) - 1 if hole is None else hole, size)

    def hole(self, size: int) -> int | None:
        """The number of the smallest block but the last that is big enough; the later of equals."""
        holes = [(length, -i) for i, (_, length) in enumerate(self.blocks[:-1]) if length >= size]
        return -min(holes)[1] if holes else None

    def put(self, i: int, size: int) -> int:
        """Take the beginning of a block; returns where it is."""
        offset, length = self.blocks[i]
        if length == size:
            del self.blocks[i]
        else:
            self.blocks[i] = (offset + size, length - size)
        self.peak_bytes = max(self.peak_bytes, offset + size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Return `size` bytes, already padded, and join them with their neighbours."""
        i = next((i for i, block in enumerate(self.blocks) if block[0] > offset), len(self.blocks))
        length: float = size
        if i < len(self.blocks) and offset + size == self.blocks[i][0]:
            length += self.blocks.pop(i)[1]
        if i > 0 and self.blocks[i - 1][0] + self.blocks[i - 1][1] == offset:
            i -= 1
            before, before_length = self.blocks.pop(i)
            offset, length = before, before_length + length
        self.blocks.insert(i, (offset, length))

    def padded(self, n_bytes: int) -> int:
        """`n_bytes` up to the next multiple of the alignment."""
        return -(-n_bytes // self.alignment) * self.alignment


class Memory(Protocol):
    """Where a backend keeps what it computes: one buffer, or several."""

    @property
    def peak(self) -> Peak: ...  # noqa: D102 - as `Arena` has it

    def take(self, n_bytes: int) -> int: ...  # noqa: D102
    def give_back(self, offset: int, size: int) -> None: ...  # noqa: D102
    def padded(self, n_bytes: int) -> int: ...  # noqa: D102


def peak_bytes(graph: Graph, alignment: int) -> int:
    """Bytes of the buffer in which ggml runs `graph` on one backend."""
    return peaks(graph, (Arena(alignment),), {})[0].n_bytes


def peaks(graph: Graph, arenas: Sequence[Memory], place_of: Mapping[int, int]) -> tuple[Peak, ...]:
    """What each backend needs; `place_of` goes from a tensor's id to its backend, else 0."""
    walk = _Walk(graph, arenas)
    for tensor in graph.inputs:
        walk.place(tensor, place_of.get(id(tensor), 0))
    for node in graph.nodes:
        walk.place(node, place_of.get(id(node), 0))
        walk.release_sources(node)
    return tuple(arena.peak for arena in walk.arenas)


class _Walk:
    def __init__(self, graph: Graph, arenas: Sequence[Memory]) -> None:
        self.arenas = arenas
        self._uses: dict[int, _Use] = {}
        for node in graph.nodes:
            if node.view_of is not None:
                self._use(node.view_of).n_views += 1
            for source in node.sources:
                self._use(source).n_children += 1

    def place(self, tensor: Tensor, place: int) -> None:
        if tensor.is_external or tensor.view_of is not None:
            return
        use = self._use(tensor)
        if tensor.may_overwrite:
            for source in tensor.sources:
                if self._can_overwrite(source, tensor):
                    parent = self._use(source)
                    use.offset, use.place, parent.offset = parent.offset, parent.place, None
                    return
        use.offset, use.place = self.arenas[place].take(tensor.n_bytes), place

    def release_sources(self, node: Tensor) -> None:
        for source in node.sources:
            use = self._use(source)
            use.n_children -= 1
            if use.n_children or use.n_views:
                continue
            owner = source
            if source.view_of is not None:
                owner = source.view_of
                self._use(owner).n_views -= 1
            self._release(owner)

    def _use(self, tensor: Tensor) -> _Use:
        use = self._uses.get(id(tensor))
        if use is None:
            use = self._uses[id(tensor)] = _Use()
        return use

    def _can_overwrite(self, source: Tensor, tensor: Tensor) -> bool:
        use = self._use(source)
        return (
            use.offset is not None
            and not source.is_output
            and (source.dims, source.item_bytes) == (tensor.dims, tensor.item_bytes)
            and use.n_children == 1
            and use.n_views == 0
        )

    def _release(self, owner: Tensor) -> None:
        use = self._use(owner)
        if use.offset is None or use.n_children or use.n_views or owner.is_output:
            return
        arena = self.arenas[use.place]
        arena.give_back(use.offset, arena.padded(owner.n_bytes))
        use.offset = None
