from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from localr1.plan.arena import Arena
from localr1.plan.graph import Graph, Tensor
from localr1.plan.graph_nodes import WEIGHT, normed, overwrite, projected
from localr1.plan.schedule import LayerPlaces, Layout, scheduled

_KIB = 1024
_DIMS = (256,)  # one KiB


def _product(*sources: Tensor) -> Tensor:
    return Tensor(_DIMS, sources=(WEIGHT, *sources))


def _layout(*places: int, output: int, host: int, is_pipelined: bool = False) -> Layout:
    layers = tuple(LayerPlaces(i, place, place) for i, place in enumerate(places))
    return Layout(layers, output, host, is_pipelined)


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
    memories = [partial(Arena, 32)] * (layout.host + 1)
    n_bytes = [peak.n_bytes for peak in scheduled(graph, layout, memories).peaks((0, 0))]
    assert all(size % _KIB == 0 for size in n_bytes)
    return [size // _KIB for size in n_bytes]


def test_all_on_the_host_needs_no_copies() -> None:
    layout = _layout(1, 1, output=1, host=1)

    assert _sizes(_two_layers(), layout) == [0, 2]  # the source and the result of a product


def test_what_the_next_backend_needs_is_copied() -> None:
    layout = _layout(0, 1, output=1, host=2)

    # each backend: what was copied to it and what it makes of that
    assert _sizes(_two_layers(), layout) == [2, 2, 2]


def test_a_pipeline_has_four_of_every_input_and_copy() -> None:
    layout = _layout(0, 1, output=1, host=2, is_pipelined=True)

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
    host_then_gpu = _layout(1, output=0, host=1)

    # between host and GPU: 1 KiB is copied, and the 2 KiB are made on the GPU
    assert _sizes(_with_sum(2), host_then_gpu) == [3, 2]


@pytest.mark.parametrize(("keeps_norms", "first_kib"), [(True, 1 + 2), (False, 1 + 2 + 2)])
def test_a_norm_can_be_kept_where_its_layer_lies(*, keeps_norms: bool, first_kib: int) -> None:
    graph = Graph()
    wide = Tensor((2, *_DIMS), sources=(WEIGHT, Tensor(_DIMS)))
    graph.step = 1
    graph.expand(wide)
    graph.step = 2
    graph.expand(overwrite(normed(wide), wide))
    layout = replace(_layout(0, 1, output=1, host=2), keeps_norms=keeps_norms)

    # the first layer: a row was copied to it, it makes two of them, and may norm them as well
    assert _sizes(graph, layout)[0] == first_kib


def test_an_input_is_copied_once_to_each_backend_that_needs_it() -> None:
    graph = Graph()
    position = Tensor(_DIMS)
    states = _product(Tensor(_DIMS))
    graph.expand(states)
    for graph.step in (1, 2, 3):
        states = _product(states, position)
        graph.expand(states)
    layout = _layout(0, 0, output=0, host=1)

    # one copy of the position, and the source and result of a product
    assert _sizes(graph, layout) == [3, 3]


def _with_host_weight(n_rows: int, *, is_expert: bool = False) -> Graph:
    """A layer multiplies rows of one KiB with a weight of 8 KiB, and so does the output."""
    graph = Graph()
    states = Tensor((256, n_rows), sources=(WEIGHT, Tensor(_DIMS)))
    graph.expand(states)
    for graph.step in (1, 2):
        weight = Tensor(
            (8 * _KIB,),
            1,
            is_external=True,
            is_weight=True,
            is_expert=is_expert and graph.step == 1,
        )
        states = projected(states, *states.dims, weight=weight)
        graph.expand(states)
    return graph


def test_a_borrowed_weight_is_copied_to_the_gpu_for_long_batches_only() -> None:
    layout = replace(_layout(1, output=0, host=1), borrower=0)

    # the GPU has the weight, rows and what they become; what it has of its own is smaller
    assert _sizes(_with_host_weight(32), layout)[0] == 8 + 32 + 32
    # a short batch is multiplied on the host, and the GPU gets the rows that come out of it
    assert _sizes(_with_host_weight(31), layout)[0] == 31 + 31


def test_experts_that_stay_behind_are_computed_on_the_host() -> None:
    layout = Layout((LayerPlaces(0, 0, 1),), output=0, host=1)

    everywhere = _sizes(_with_host_weight(16), _layout(0, output=0, host=1))
    behind = _sizes(_with_host_weight(16, is_expert=True), layout)

    assert behind[1] > everywhere[1]


def test_the_cache_of_a_host_layer_is_copied_to_who_borrows_the_layer() -> None:
    graph = Graph()
    cache = Tensor((64 * _KIB,), 1, is_external=True)
    states = Tensor((256, 32), sources=(WEIGHT, Tensor(_DIMS)))
    graph.expand(states)
    for graph.step in (1, 2):
        weight = Tensor(_DIMS, is_external=True, is_weight=True)
        looked_up = projected(states, *states.dims, weight=weight)
        mixed = Tensor(states.dims, sources=(looked_up, cache)) if graph.step == 1 else looked_up
        states = projected(mixed, *states.dims, weight=weight)
        graph.expand(states)
    layout = _layout(1, output=0, host=1)

    assert _sizes(graph, replace(layout, borrower=0))[0] > 64
