from __future__ import annotations

import pytest

from localr1.plan.offload import Fit, Split, best_split, fill_in_order, in_proportion


def _room(n_units: int, *, experts: int = 10, rest: int = 1) -> Fit:
    """A GPU with so many units of room; each of 8 layers takes `rest`, its experts `experts`."""

    def fit(n_layers: int, n_host_experts: int) -> Split | None:
        first = 8 - n_layers
        with_experts = 8 - max(first, n_host_experts)
        needed = rest * n_layers + experts * max(with_experts, 0)
        return Split((n_layers,), n_host_experts) if needed <= n_units else None

    return fit


@pytest.mark.parametrize(
    ("n_units", "expected"),
    [
        (88, Split((8,), 0)),  # everything
        (87, Split((8,), 1)),  # the experts of one layer have to leave
        (28, Split((8,), 6)),
        (8, Split((8,), 8)),  # all of them
        (7, Split((7,), 8)),  # and a layer
        (0, Split((0,), 0)),
    ],
)
def test_experts_leave_before_layers_do(n_units: int, expected: Split) -> None:
    found = best_split(_room(n_units), n_layers=(0, 8), n_host_experts=(0, 8))

    assert found == expected


def test_what_the_user_fixed_is_kept() -> None:
    fit = _room(30)

    fixed_layers = best_split(fit, n_layers=(3, 3), n_host_experts=(0, 8))
    fixed_experts = best_split(fit, n_layers=(0, 8), n_host_experts=(2, 2))

    assert fixed_layers == Split((3,), 6)  # two layers with their experts, one without
    assert fixed_experts == Split((2,), 2)


def test_room_for_nothing_of_what_was_fixed_is_none() -> None:
    assert best_split(_room(4), n_layers=(5, 5), n_host_experts=(8, 8)) is None


@pytest.mark.parametrize(
    ("rooms", "first_extra", "expected"),
    [
        ([10, 10], 0, [5, 1]),
        ([3, 10], 0, [1, 5]),
        ([1, 10, 10], 0, [0, 5, 1]),
        ([10, 10], 5, [2, 4]),
        ([1, 10, 3], 2, [0, 4, 1]),
        ([4, 4], 0, None),
    ],
)
def test_gpus_are_filled_one_after_the_other(
    rooms: list[int], first_extra: int, expected: list[int] | None
) -> None:
    costs = [2] * (6 if expected is None or sum(expected) == 6 else sum(expected))

    assert fill_in_order(costs, rooms, first_extra) == expected


@pytest.mark.parametrize(
    ("n_layers", "weights", "expected"),
    [
        (29, [12, 6], [20, 9]),
        (33, [10, 10, 10], [11, 11, 11]),
        (10, [9, 1], [9, 1]),
        (0, [1, 2], [0, 0]),
    ],
)
def test_layers_are_spread_by_free_memory(
    n_layers: int, weights: list[int], expected: list[int]
) -> None:
    assert in_proportion(n_layers, weights) == expected
