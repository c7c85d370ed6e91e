from __future__ import annotations

from functools import partial

from localr1.plan.arena import Arena
from localr1.plan.course import Course
from localr1.plan.graph import ALL_CELLS, WINDOWED_CELLS, Graph, Tensor

_KIB = 256  # numbers of four bytes


def _course(*tensors: Tensor, alignment: int = 32) -> Course:
    graph = Graph()
    for tensor in tensors:
        graph.expand(tensor)
    return Course(graph, [partial(Arena, alignment)])


def _peak(*tensors: Tensor, alignment: int = 32) -> int:
    return _course(*tensors, alignment=alignment).peaks((0, 0))[0].n_bytes


def test_sizes_are_rounded_up_to_the_alignment() -> None:
    start = Tensor((1,))

    assert _peak(Tensor((1,), sources=(start,)), alignment=128) == 256


def test_a_hole_is_used_again() -> None:
    start = Tensor((_KIB,))
    middle = Tensor((_KIB,), sources=(start,))
    end = Tensor((_KIB,), sources=(middle,))

    assert _peak(end) == 2 * 1024


def test_an_operation_writes_over_an_input_nobody_else_needs() -> None:
    start = Tensor((_KIB,))
    end = Tensor((_KIB,), sources=(start,), may_overwrite=True)

    assert _peak(end) == 1024


def test_an_input_that_is_needed_later_is_not_overwritten() -> None:
    start = Tensor((_KIB,))
    changed = Tensor((_KIB,), sources=(start,), may_overwrite=True)
    end = Tensor((_KIB,), sources=(changed, start), may_overwrite=True)

    assert _peak(end) == 2 * 1024


def test_nothing_is_written_over_through_a_view() -> None:
    start = Tensor((_KIB,))
    view = Tensor((2, 128), sources=(start,), view_of=start)
    end = Tensor((2, 128), sources=(view,), may_overwrite=True)

    assert _peak(end) == 2 * 1024


def test_an_output_keeps_its_place() -> None:
    start = Tensor((_KIB,))
    output = Tensor((_KIB,), sources=(start,), is_output=True)
    end = Tensor((_KIB,), sources=(output,), may_overwrite=True)
    after = Tensor((_KIB,), sources=(end,))

    assert _peak(after) == 3 * 1024


def test_weights_take_no_room() -> None:
    weight = Tensor((10**9,), is_external=True)

    assert _peak(Tensor((_KIB,), sources=(weight,))) == 1024


def test_an_input_nobody_reads_stays() -> None:
    unread = Tensor((_KIB,))
    start = Tensor((_KIB,))

    assert _peak(unread, Tensor((_KIB,), sources=(start,), may_overwrite=True)) == 2 * 1024


def test_what_depends_on_cells_grows_with_their_number() -> None:
    course = _course(Tensor((ALL_CELLS, 8)), Tensor((WINDOWED_CELLS, 2), item_bytes=1.0625))

    assert course.peaks((256, 32))[0].n_bytes == 256 * 8 * 4 + 96  # 68 bytes, padded
    assert course.peaks((512, 64))[0].n_bytes == 512 * 8 * 4 + 160
    assert course.inputs_bytes((256, 32)) == 256 * 8 * 4 + 68


def test_a_hole_that_has_become_too_small_is_not_used_again() -> None:
    mask = Tensor((ALL_CELLS,))
    masked = Tensor((1,), sources=(mask,))
    course = _course(Tensor((_KIB,), sources=(masked,)))

    assert course.peaks((_KIB, 0))[0].n_bytes == 1024 + 32
    assert course.peaks((_KIB - 8, 0))[0].n_bytes == 1024 - 32 + 32 + 1024
