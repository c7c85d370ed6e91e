from __future__ import annotations

from pathlib import Path

import pytest

from localr1.hub.room import in_order_of_use, most_at_once

_A, _B, _C, _D = (Path(name) for name in "ABCD")
_SIZES = {_A: 1, _B: 10, _C: 100, _D: 1000}


def _most(uses: list[set[Path]], *, deletes: bool, there: set[Path] | None = None) -> int:
    missing = {path: 0 if path in (there or set()) else size for path, size in _SIZES.items()}
    return most_at_once([frozenset(use) for use in uses], _SIZES, missing, deletes=deletes)


def test_the_order_is_that_of_the_first_use() -> None:
    uses = [frozenset({_D}), frozenset({_B, _A}), frozenset({_C, _D})]

    assert in_order_of_use(uses) == [_D, _A, _B, _C]


@pytest.mark.parametrize(
    ("uses", "deletes", "most"),
    [
        pytest.param([{_A}, {_B}, {_C}, {_D}], False, 1111, id="all are kept"),
        pytest.param([{_A}, {_B}, {_C}, {_D}], True, 1100, id="one and the next"),
        pytest.param([{_D}, {_A}, {_B}, {_C}, {_D}], True, 1110, id="the last is needed first"),
        pytest.param([{_A, _B}, {_B, _C}, {_D}], True, 1110, id="tensors across shards"),
        pytest.param([{_A}, {_A}, {_A}], True, 1, id="one is enough"),
        pytest.param([{_A}, {_A}, {_A}, {_B}, {_C}], True, 110, id="one ahead is enough"),
        pytest.param([set(), {_A}, set()], True, 1, id="made tensors need none"),
        pytest.param([], True, 0, id="nothing is left"),
    ],
)
def test_room_is_for_shards_in_use_and_the_next(
    uses: list[set[Path]], *, deletes: bool, most: int
) -> None:
    assert _most(uses, deletes=deletes) == most


def test_what_is_there_needs_no_more_room_and_makes_some_when_it_goes() -> None:
    uses = [{_D}, {_C}, {_B}]

    assert _most(uses, deletes=False, there={_D}) == 110
    assert _most(uses, deletes=True, there={_D}) == 100
