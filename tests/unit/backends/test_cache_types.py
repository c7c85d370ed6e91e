from __future__ import annotations

import gguf
import pytest

from backends.cache_types import CACHE_TYPES, cache_type
from backends.errors import UnsupportedParametersError


@pytest.mark.parametrize("name", CACHE_TYPES)
def test_ids_and_sizes_are_those_of_gguf(name: str) -> None:
    oracle = gguf.GGMLQuantizationType[name.upper()]

    found = cache_type(name)

    assert found.ggml_id == oracle.value
    assert (found.block_elements, found.block_bytes) == gguf.GGML_QUANT_SIZES[oracle]


def test_names_are_read_in_any_case() -> None:
    assert cache_type("Q8_0") is CACHE_TYPES["q8_0"]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedParametersError) as caught:
        cache_type("q3_k")

    assert "iq4_nl" in caught.value.hint
