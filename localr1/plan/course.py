"""Owns how ggml lays out the tensors of a compute graph: the size of a compute buffer.

A compute buffer is no sum of tensors. ggml walks the graph in the order it was built, gives each
result the best fitting hole, takes it back after the last use, and lets many operations write
over their input. Which results come and go, and when, is the same for a context of any length;
only how big some of them are is not. So a graph is walked once, and what came and went is played
back for every length. Mirrors `ggml_gallocr_alloc_graph_impl` and `ggml_dyn_tallocr_*`
(ggml/src/ggml-alloc.c) of llama.cpp at the pinned version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import zip_longest

from localr1.plan.arena import Memory, Peak
from localr1.plan.attention_scratch import Scratch
from localr1.plan.graph import Attended, Cells, Graph, Tensor


class Course:
    """What comes and goes in the buffers of a graph, which is used up.

    `memories` make an empty memory for each backend, `scratches` say what each wants behind the
    result of flash attention.
    """

    def __init__(
        self,
        graph: Graph,
        memories: Iterable[Callable[[], Memory]],
        scratches: Iterable[Scratch | None] = (),
    ) -> None:
        pairs = zip_longest(memories, scratches)
        self._buffers = [_Buffer(memory, scratch) for memory, scratch in pairs]
        self._inputs = graph.inputs
        self._peaks: dict[Cells, tuple[Peak, ...]] = {}
        for node in graph.nodes:
            if node.view_of is not None:
                node.view_of.n_views += 1
            for source in node.sources:
                source.n_children += 1
        for tensor in graph.inputs:
            self._place(tensor)
        for node in graph.nodes:
            self._place(node)
            self._release_sources(node)

    def peaks(self, cells: Cells) -> tuple[Peak, ...]:
        """What each backend needs."""
        if cells not in self._peaks:
            self._peaks[cells] = tuple(buffer.peak(cells) for buffer in self._buffers)
        return self._peaks[cells]

    def inputs_bytes(self, cells: Cells) -> int:
        """Bytes of what the graph is fed."""
        return sum(tensor.n_bytes(cells) for tensor in self._inputs)

    def _place(self, tensor: Tensor) -> None:
        if tensor.is_external or tensor.view_of is not None:
            return
        if tensor.may_overwrite:
            for source in tensor.sources:
                if _can_overwrite(source, tensor):
                    tensor.piece, tensor.place, source.piece = source.piece, source.place, None
                    return
        tensor.piece = self._buffers[tensor.place or 0].take(tensor)

    def _release_sources(self, node: Tensor) -> None:
        for source in node.sources:
            source.n_children -= 1
            if source.n_children or source.n_views:
                continue
            owner = source
            if source.view_of is not None:
                owner = source.view_of
                owner.n_views -= 1
                if owner.n_children or owner.n_views:
                    continue
            if owner.piece is not None and not owner.is_output:
                self._buffers[owner.place or 0].give_back(owner.piece)
                owner.piece = None


def _can_overwrite(source: Tensor, tensor: Tensor) -> bool:
    return (
        source.piece is not None
        and source.n_children == 1
        and source.n_views == 0
        and not source.is_output
        and source.dims == tensor.dims
        and source.item_bytes == tensor.item_bytes
    )


def _with_scratch(n_bytes: int, scratch: Scratch, attended: Attended, cells: Cells) -> int:
    return n_bytes + scratch(attended, cells)


class _Buffer:
    """What comes and goes in one buffer: pieces, numbered as they come."""

    def __init__(self, memory: Callable[[], Memory], scratch: Scratch | None) -> None:
        self._memory = memory
        self._scratch = scratch
        self._sizes: list[int] = []
        """Bytes of all pieces, with no cells at all."""
        self._growing: list[tuple[int, Callable[[Cells], int]]] = []
        """Pieces that grow with the number of cells, and how."""
        self._events: list[int] = []
        """The number of a piece that comes, or the complement of one that goes."""

    def take(self, tensor: Tensor) -> int:
        """The number of the piece that holds the tensor."""
        piece = len(self._sizes)
        self._events.append(piece)
        self._sizes.append(tensor.n_bytes((0, 0)))
        if self._scratch is not None and tensor.attended is not None:
            add = partial(_with_scratch, self._sizes[-1], self._scratch, tensor.attended)
            self._growing.append((piece, add))
        elif min(tensor.dims) < 0:
            self._growing.append((piece, Tensor(tensor.dims, tensor.item_bytes).n_bytes))
        return piece

    def give_back(self, piece: int) -> None:
        """From now on others may have the piece."""
        self._events.append(~piece)

    def peak(self, cells: Cells) -> Peak:
        """The most that is in use at once, with the holes in it."""
        memory, sizes = self._memory(), self._sizes.copy()
        for piece, n_bytes_of in self._growing:
            sizes[piece] = n_bytes_of(cells)
        sizes = [memory.padded(n_bytes) for n_bytes in sizes]
        offsets = [0] * len(sizes)
        for event in self._events:
            if event >= 0:
                offsets[event] = memory.take(sizes[event])
            else:
                memory.give_back(offsets[~event], sizes[~event])
        return memory.peak
