from __future__ import annotations

import pytest

from localr1.calibration.memory_copy import copy_bytes_per_s


@pytest.mark.parametrize("n_threads", [1, 3])
def test_copies_have_a_rate_that_memory_can_have(n_threads: int) -> None:
    rates = copy_bytes_per_s(n_threads)

    assert 1 <= len(rates) <= 8
    assert all(1e7 < rate < 1e14 for rate in rates)
