"""Owns how ggml spreads a compute graph over several backends: who computes what, what is copied.

Mirrors `ggml_backend_sched_split_graph` (ggml/src/ggml-backend.cpp) and `graph_get_cb`
(src/llama-context.cpp) of llama.cpp at the pinned version. An operation with weights runs where
they lie; all others join their neighbours, rather a GPU's than the host's. Whatever an operation
needs from another backend is copied over. With pipeline parallelism every input and every copy
exists four times, and none of them is given back. A GPU that borrows takes over what is done
with the host's weights for long batches, with a copy of them and of the host's part of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localr1.plan.arena import Memory
from localr1.plan.attention_scratch import Scratch
from localr1.plan.course import Course
from localr1.plan.graph import Graph, Tensor

N_PIPELINE_COPIES = 4  # GGML_SCHED_MAX_COPIES

LONG_BATCH = 32
"""From so many rows on, a GPU takes over what is done with the host's weights."""


@dataclass(frozen=True, slots=True)
class LayerPlaces:
    """Where a layer lies."""

    layer: int
    place: int
    experts: int
    """The place of its experts; the same where it has none, or they went along."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the layers of a model lie. Backends are numbered, the host comes last."""

    layers: tuple[LayerPlaces, ...]
    """In the order of the model."""
    output: int
    """The backend of the output layer."""
    host: int
    is_pipelined: bool = False
    borrower: int | None = None
    """The backend that takes over what is done with the host's weights (`offload_op`)."""
    borrows_products_only: bool = False
    """It leaves sums and norms to the host, as Metal does."""
    most_borrowed_bytes: float = math.inf
    """Vulkan takes over nothing with a weight that is larger than one buffer may be."""
    keeps_norms: bool = False
    """Norms run where their layer lies, whatever is next to them."""


def scheduled(
    graph: Graph,
    layout: Layout,
    memories: Iterable[Callable[[], Memory]],
    scratches: Iterable[Scratch | None] = (),
) -> Course:
    """What comes and goes in the compute buffer of each backend; `graph` is used up.

    `memories` and `scratches` are as `Course` takes them.
    """
    homes = _Homes(layout)
    _set_places(graph, layout, homes)
    n_copies = N_PIPELINE_COPIES if layout.is_pipelined else 1
    _Copies(graph, homes, n_copies).insert()
    return Course(graph, memories, scratches)


class _Homes:
    """Where weights and caches lie, and with them the operations that need them."""

    def __init__(self, layout: Layout) -> None:
        self.host = layout.host
        self._layout = layout
        self._places = [layout.host, *(at.place for at in layout.layers), layout.output]
        self._experts = [layout.host, *(at.experts for at in layout.layers), layout.output]

    def of_source(self, source: Tensor, node: Tensor) -> int:
        """Where a weight or cache lies that `node` needs."""
        return (self._experts if source.is_expert else self._places)[node.step]

    def of_node(self, node: Tensor) -> int | None:
        """Where an operation is bound to run; None if nothing binds it."""
        if node.is_external:
            return self._places[node.step]
        weight = next((source for source in node.sources if source.is_weight), None)
        if weight is None:
            is_kept = node.is_norm and self._layout.keeps_norms
            return self._places[node.step] if is_kept and self._is_in_layer(node) else None
        place = self.of_source(weight, node)
        borrower = self._layout.borrower
        if borrower is None or place != self.host or not self._is_borrowed(node, weight):
            return place
        return borrower

    def _is_borrowed(self, node: Tensor, weight: Tensor) -> bool:
        if node.step == 0 or weight.n_bytes((0, 0)) > self._layout.most_borrowed_bytes:
            return False  # rows of the embedding, step 0, are looked up where it lies
        if node.may_overwrite:  # a sum or a norm
            n_rows = math.prod(node.dims[1:])
            return n_rows >= LONG_BATCH and not self._layout.borrows_products_only
        return node.dims[2 if weight.is_expert else 1] >= LONG_BATCH

    def _is_in_layer(self, node: Tensor) -> bool:
        """The norm before the output belongs to no layer, so nobody says where it runs."""
        return 0 < node.step <= len(self._layout.layers)


def _set_places(graph: Graph, layout: Layout, homes: _Homes) -> None:
    nodes = [node for node in graph.nodes if node.view_of is None]
    for node in nodes:
        node.place = homes.of_node(node)
    for order, hosts in ((nodes, False), (nodes[::-1], False), (nodes, True), (nodes[::-1], True)):
        _join(order, None if hosts else layout.host)
    for tensor in graph.inputs:
        tensor.place = layout.host
    for node in graph.nodes:
        if node.view_of is not None:
            node.place = node.view_of.place


def _join(nodes: Iterable[Tensor], left_out: int | None) -> None:
    """Nodes without a backend join the one before them, unless that one is `left_out`."""
    current = None
    for node in nodes:
        if node.place is not None:
            current = None if node.place == left_out else node.place
        elif current is not None:
            node.place = current


class _Copies:
    """Adds to a graph what has to be copied between backends, where the copies are made."""

    def __init__(self, graph: Graph, homes: _Homes, n_copies: int) -> None:
        self._graph = graph
        self._homes = homes
        self._n_copies = n_copies
        self._copied: dict[tuple[int, int], Tensor] = {}
        self._reserved: list[Tensor] = []

    def insert(self) -> None:
        """Change the graph. It falls into parts: runs of nodes on one backend, copies first."""
        nodes: list[Tensor] = []
        part: list[Tensor] = []
        made: list[Tensor] = []
        current = None
        for node in self._graph.nodes:
            if node.view_of is None:  # views go along with what comes before them
                away = [s for s in node.sources if self._place(s, node) != node.place]
                # so that the memory of the weights that were borrowed before is free again
                begins = bool(made) and any(source.is_weight for source in away)
                if current is not None and (node.place != current or begins):
                    nodes += [*made, *part]
                    part, made = [], []
                current = node.place
                if away:
                    node.sources = tuple(
                        self._here(source, node, made) if source in away else source
                        for source in node.sources
                    )
            part.append(node)
        self._graph.nodes = [*nodes, *made, *part]
        if self._n_copies > 1:
            inputs = self._graph.inputs
            for tensor in inputs:
                tensor.is_output = True
            spare = [
                self._like(t, self._homes.host) for t in inputs for _ in range(self._n_copies - 1)
            ]
            self._graph.inputs = [*inputs, *spare, *self._reserved]

    def _place(self, source: Tensor, node: Tensor) -> int | None:
        return self._homes.of_source(source, node) if source.is_external else source.place

    def _here(self, source: Tensor, node: Tensor, made: list[Tensor]) -> Tensor:
        """The copy of a source that lies elsewhere; new copies are added to `made`."""
        place = self._homes.host if node.place is None else node.place
        key = (id(source), place)
        if key not in self._copied:
            copies = [self._like(source, place) for _ in range(self._n_copies)]
            self._copied[key] = copies[0]
            # the source is kept until it has been copied
            made.append(Tensor(source.dims, sources=(source,), is_external=True))
            (made if self._n_copies == 1 else self._reserved).extend(copies)
        return self._copied[key]

    def _like(self, tensor: Tensor, place: int) -> Tensor:
        is_kept = self._n_copies > 1
        return Tensor(tensor.dims, tensor.item_bytes, is_output=is_kept, place=place)
