from __future__ import annotations

from localr1.plan.graph import Graph, Tensor
from localr1.plan.graph_nodes import WEIGHT
from localr1.plan.schedule import Layout, scheduled_bytes

_KIB = 1024
_DIMS = (256,)  # one KiB


def _product(*sources: Tensor) -> Tensor:
    return Tensor(_DIMS, sources=(WEIGHT, *sources))


def _two_layers() -> Graph:
    """A row is looked up, each layer multiplies it, and so does the output."""
    graph = Graph()
    states = _product(Tensor(_DIMS))
    graph.expand(states)
    for graph.step in (1, 2, 3):
        states = _product(states)
        graph.expand(states)
    return graph


def _sizes(graph: Graph, layout: Layout) -> list[int]:
    n_bytes = scheduled_bytes(graph, layout, (32,) * (layout.host + 1))
    assert all(size % _KIB == 0 for size in n_bytes)
    return [size // _KIB for size in n_bytes]


def test_all_on_the_host_needs_no_copies() -> None:
    layout = Layout(((0, 1), (1, 1)), output=1, host=1, is_pipelined=False)

    assert _sizes(_two_layers(), layout) == [0, 2]  # the source and the result of a product


def test_what_the_next_backend_needs_is_copied() -> None:
    layout = Layout(((0, 0), (1, 1)), output=1, host=2, is_pipelined=False)

    # each backend: what was copied to it and what it makes of that
    assert _sizes(_two_layers(), layout) == [2, 2, 2]


def test_a_pipeline_has_four_of_every_input_and_copy() -> None:
    layout = Layout(((0, 0), (1, 1)), output=1, host=2, is_pipelined=True)

    # the second GPU makes two results, for the copies are not given back; the host has one row
    assert _sizes(_two_layers(), layout) == [4 + 1, 4 + 2, 4 + 1]


def _with_sum(step: int) -> Graph:
    """One layer; something without weights comes before or after its product."""
    graph = Graph()
    states = _product(Tensor(_DIMS))
    graph.expand(states)
    for graph.step in (1, 2):
        if graph.step == step:
            states = Tensor((2, *_DIMS), sources=(states,))
        states = _product(states)
        graph.expand(states)
    return graph


def test_operations_without_weights_join_the_gpu_beside_them() -> None:
    host_then_gpu = Layout(((0, 1),), output=0, host=1, is_pipelined=False)

    # between host and GPU: 1 KiB is copied, and the 2 KiB are made on the GPU
    assert _sizes(_with_sum(2), host_then_gpu) == [3, 2]


def test_with_whole_offload_a_layer_keeps_its_own_operations() -> None:
    graph = _with_sum(1)
    first_is_gpus = Layout(((0, 0),), output=1, host=2, is_pipelined=False)

    assert _sizes(graph, first_is_gpus) == [3, 2, 2]


def test_an_input_is_copied_once_to_each_backend_that_needs_it() -> None:
    graph = Graph()
    position = Tensor(_DIMS)
    states = _product(Tensor(_DIMS))
    graph.expand(states)
    for graph.step in (1, 2, 3):
        states = _product(states, position)
        graph.expand(states)
    layout = Layout(((0, 0), (1, 0)), output=0, host=1, is_pipelined=False)

    # one copy of the position, and the source and result of a product
    assert _sizes(graph, layout) == [3, 3]
