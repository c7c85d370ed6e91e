"""Owns how ggml spreads a compute graph over several backends: who computes what, what is copied.

Mirrors `ggml_backend_sched_split_graph` (ggml/src/ggml-backend.cpp) and `graph_get_cb`
(src/llama-context.cpp) of llama.cpp at the pinned version. An operation with weights runs where
they lie; all others join their neighbours, rather a GPU's than the host's. Whatever an operation
needs from another backend is copied over. With pipeline parallelism every input and every copy
exists four times, and none of them is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localr1.plan.graph import Graph, Tensor, peaks_bytes

N_PIPELINE_COPIES = 4  # GGML_SCHED_MAX_COPIES


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the layers of a model lie. Backends are numbered, the host comes last."""

    layers: tuple[tuple[int, int], ...]
    """Each layer and its backend, in the order of the model."""
    output: int
    """The backend of the output layer."""
    host: int
    is_pipelined: bool

    @property
    def is_whole(self) -> bool:
        """Whether no layer is the host's."""
        return self.output != self.host and all(place != self.host for _, place in self.layers)


def scheduled_bytes(graph: Graph, layout: Layout, alignments: Sequence[int]) -> tuple[int, ...]:
    """Bytes of the compute buffer of each backend; `graph` is used up."""
    places = _places(graph, layout)
    n_copies = N_PIPELINE_COPIES if layout.is_pipelined else 1
    _Copies(graph, places, layout.host, n_copies).insert()
    return peaks_bytes(graph, alignments, places)


def _places(graph: Graph, layout: Layout) -> dict[int, int]:
    """The backend of every tensor, by its id."""
    homes = [layout.host, *(place for _, place in layout.layers), layout.output]
    nodes = [node for node in graph.nodes if node.view_of is None]
    # the norm before the output belongs to no layer, so nobody says where it runs
    n_named = len(homes) - 1 if layout.is_whole else 0
    places = {
        id(node): homes[node.step]
        for node in nodes
        if _has_weights(node) or 0 < node.step < n_named
    }
    for order, hosts in ((nodes, False), (nodes[::-1], False), (nodes, True), (nodes[::-1], True)):
        _join(order, places, None if hosts else layout.host)
    places |= {id(tensor): layout.host for tensor in graph.inputs}
    for node in graph.nodes:
        if node.view_of is not None:
            places[id(node)] = places[id(node.view_of)]
    return places


def _has_weights(node: Tensor) -> bool:
    return node.is_external or any(source.is_external for source in node.sources)


def _join(nodes: Iterable[Tensor], places: dict[int, int], left_out: int | None) -> None:
    """Nodes without a backend join the one before them, unless that one is `left_out`."""
    current = None
    for node in nodes:
        place = places.get(id(node))
        if place is not None:
            current = None if place == left_out else place
        elif current is not None:
            places[id(node)] = current


class _Copies:
    """Adds to a graph what has to be copied between backends, where the copies are made."""

    def __init__(self, graph: Graph, places: dict[int, int], host: int, n_copies: int) -> None:
        self._graph = graph
        self._places = places
        self._host = host
        self._n_copies = n_copies
        self._copied: dict[tuple[int, int], Tensor] = {}
        self._reserved: list[Tensor] = []

    def insert(self) -> None:
        """Change the graph."""
        nodes: list[Tensor] = []
        for part in self._parts():
            made: list[Tensor] = []
            for node in part:
                if node.view_of is None:
                    place = self._places[id(node)]
                    node.sources = tuple(self._here(source, place, made) for source in node.sources)
            nodes += [*made, *part]
        self._graph.nodes = nodes
        if self._n_copies > 1:
            inputs = self._graph.inputs
            for tensor in inputs:
                tensor.is_output = True
            spare = [self._like(t, self._host) for t in inputs for _ in range(self._n_copies - 1)]
            self._graph.inputs = [*inputs, *spare, *self._reserved]

    def _parts(self) -> list[list[Tensor]]:
        """Runs of nodes on one backend; views go along with what comes before them."""
        parts: list[list[Tensor]] = [[]]
        current = None
        for node in self._graph.nodes:
            if node.view_of is None:
                place = self._places[id(node)]
                if current is not None and place != current:
                    parts.append([])
                current = place
            parts[-1].append(node)
        return parts

    def _here(self, source: Tensor, place: int, made: list[Tensor]) -> Tensor:
        if source.is_external or self._places[id(source)] == place:
            return source
        key = (id(source), place)
        if key not in self._copied:
            copies = [self._like(source, place) for _ in range(self._n_copies)]
            self._copied[key] = copies[0]
            # the source is kept until it has been copied
            made.append(Tensor(source.dims, sources=(source,), is_external=True))
            (made if self._n_copies == 1 else self._reserved).extend(copies)
        return self._copied[key]

    def _like(self, tensor: Tensor, place: int) -> Tensor:
        copy = Tensor(tensor.dims, tensor.item_bytes)
        self._places[id(copy)] = place
        copy.is_output = self._n_copies > 1
        return copy
