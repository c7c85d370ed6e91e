"""Owns the element types a KV cache can have: names, ggml's ids, and block sizes."""

from __future__ import annotations

from dataclasses import dataclass

from backends.errors import UnsupportedParametersError


@dataclass(frozen=True, slots=True)
class CacheType:
    """One element type. A row must hold a whole number of blocks."""

    name: str
    ggml_id: int
    block_elements: int
    block_bytes: int

    @property
    def is_quantised(self) -> bool:
        """Whether several elements share a scale."""
        return self.block_elements > 1


# ids: enum ggml_type in ggml/include/ggml.h; sizes: the block structs in ggml/src/ggml-common.h
CACHE_TYPES: dict[str, CacheType] = {
    cache_type.name: cache_type
    for cache_type in (
        CacheType("f32", 0, 1, 4),
        CacheType("f16", 1, 1, 2),
        CacheType("bf16", 30, 1, 2),
        CacheType("q8_0", 8, 32, 34),
        CacheType("q5_1", 7, 32, 24),
        CacheType("q5_0", 6, 32, 22),
        CacheType("q4_1", 3, 32, 20),
        CacheType("q4_0", 2, 32, 18),
        CacheType("iq4_nl", 20, 32, 18),
    )
}


def cache_type(name: str) -> CacheType:
    """The type of that name, in either case.

    Raises: UnsupportedParametersError if no cache can have it.
    """
    found = CACHE_TYPES.get(name.lower())
    if found is None:
        raise UnsupportedParametersError(
            f"no KV cache type is called {name}", hint=f"choose from {', '.join(CACHE_TYPES)}"
        )
    return found
