"""ADR 1: the four package names are ours alone in this environment."""

from __future__ import annotations

from importlib.metadata import packages_distributions

import pytest

_OWNERS = packages_distributions()


@pytest.mark.parametrize("package", ["localr1", "quant", "backends", "tui"])
def test_no_other_distribution_owns_the_package(package: str) -> None:
    assert set(_OWNERS.get(package, ["localr1"])) == {"localr1"}
