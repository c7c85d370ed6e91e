"""Owns how the functions of this package become machine code.

`fastmath` stays off: results must not depend on the order a compiler likes best. The interpreter
lock is released inside a kernel, so one thread per core quantises its own rows. Division by zero
gives infinity as in C; the kernels discard such lanes by selecting, not by branching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """The function as machine code, made at its first call and kept in numba's cache."""
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False, "fastmath": False}
    try:
        kernel: _Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no directory to cache in is writable: compile once per process
        kernel = numba.njit(**options)(function)
    return kernel


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def _select(typing: Any, condition: Any, yes: Any, no: Any) -> Any:  # noqa: ARG001
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return yes(types.boolean, yes, yes), generate


@compiled
def select(condition: bool, yes: np.float32, no: np.float32) -> np.float32:  # noqa: FBT001
    """`yes if condition else no` without a branch.

    A conditional expression becomes a branch around its operands' loads, which then cannot be
    done for all lanes at once.
    """
    chosen: np.float32 = _select(condition, yes, no)
    return chosen
