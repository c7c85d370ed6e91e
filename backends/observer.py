"""Owns looking at a graph while llama.cpp computes it: which products there are, and their inputs.

llama.cpp asks at every node of the graph whether anybody wants to see it; the products with a
layer's weights are looked at, which `input_sums` adds up. ggml has no functions for the parts of a
tensor, so its struct (ggml/include/ggml.h of llama-cpp-python 0.3.36) is read as it lies in memory,
after a check that it still lies so.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.errors import LlamaRefusedError
from backends.input_sums import InputSums

_TYPE_F32 = 0
_MIN_ROWS = 16
"""llama.cpp takes smaller products for the end of a text, and leaves them out."""


class _Tensor(ctypes.Structure):
    """struct ggml_tensor up to its name."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
    )


class Observer:
    """Adds up the inputs of a model's weights while it is evaluated and `is_on` is set."""

    def __init__(self, c: Any) -> None:
        """`c` is the bound library."""
        self._ggml = _declare(c._lib)  # noqa: SLF001 - the package offers no other way
        self._failure: Exception | None = None
        self._is_checked = False
        self.is_on = False
        self.sums = InputSums()
        self.callback = c.ggml_backend_sched_eval_callback(self._on_node)
        """For llama_context_params.cb_eval; this object must outlive the context."""

    def raise_failure(self) -> None:
        """Raises: what went wrong while llama.cpp was computing, where nothing may be raised."""
        if self._failure is not None:
            raise self._failure

    def _on_node(self, address: int, is_question: bool, _data: object) -> bool:  # noqa: FBT001
        """Whether the node is wanted; or, once it is computed, whether to go on."""
        if not self.is_on or self._failure is not None:
            return not is_question
        try:
            node = _Tensor.from_address(address)
            self._check_layout(node)
            if is_question:
                return self._is_wanted(node)
            self._add(node)
        except Exception as exc:  # noqa: BLE001 - ctypes would print it and go on
            self._failure = exc
        return True

    def _check_layout(self, node: _Tensor) -> None:
        """Raises: LlamaRefusedError if ggml puts the parts of a tensor elsewhere."""
        if self._is_checked:
            return
        address = ctypes.addressof(node)
        is_known = (
            self._ggml.ggml_get_name(address) == address + _Tensor.name.offset
            and self._ggml.ggml_get_data(address) == node.data
            and self._ggml.ggml_element_size(address) == node.nb[0]
            and self._ggml.ggml_nelements(address) == np.prod(node.ne[:])
        )
        if not is_known:
            raise LlamaRefusedError(
                "this llama.cpp lays out tensors in a way that is not known here",
                hint="install the version of llama-cpp-python that localr1 was made for",
            )
        self._is_checked = True

    def _is_wanted(self, node: _Tensor) -> bool:
        op = self._ggml.ggml_op_name(node.op)
        if op == b"MUL_MAT_ID":
            return True
        if op != b"MUL_MAT":
            return False
        inputs = _source(node, 1)
        return (
            inputs.ne[1] >= _MIN_ROWS
            and inputs.type == _TYPE_F32
            and _weight_name(_source(node, 0)).startswith("blk.")
        )

    def _add(self, node: _Tensor) -> None:
        weight = _source(node, 0)
        name = _weight_name(weight)
        inputs = self._read(_source(node, 1), np.float32)
        if self._ggml.ggml_op_name(node.op) == b"MUL_MAT_ID":
            experts = self._read(_source(node, 2), np.int32)[0, 0]
            added = self.sums.add_routed(name, weight.ne[2], inputs[0], experts)
        else:
            added = self.sums.add(name, (weight.ne[3], weight.ne[2]), inputs)
        if not added.is_finite:
            raise LlamaRefusedError(f"an input of {name} became infinite or NaN")

    def _read(self, tensor: _Tensor, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """The values of a tensor, wherever they are. Shape: ggml's, reversed."""
        address = ctypes.addressof(tensor)
        data = np.empty(self._ggml.ggml_nbytes(address), dtype=np.uint8)
        self._ggml.ggml_backend_tensor_get(address, data.ctypes.data, 0, data.size)
        # experts are a view of a longer list, so rows need not follow each other
        return np.ndarray(tensor.ne[::-1], dtype, data.data, strides=tensor.nb[::-1])


def _source(node: _Tensor, index: int) -> _Tensor:
    return _Tensor.from_address(node.src[index])


def _weight_name(tensor: _Tensor) -> str:
    """The name in the model file: `CUDA0#blk.0.attn_k.weight#0` is a copy of that weight."""
    name: str = tensor.name.decode(errors="replace")
    return name.split("#")[1] if "#" in name else name


def _declare(library: Any) -> Any:
    handle, size = ctypes.c_void_p, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "ggml_op_name": (ctypes.c_char_p, [ctypes.c_int]),
        "ggml_get_name": (handle, [handle]),
        "ggml_get_data": (handle, [handle]),
        "ggml_element_size": (size, [handle]),
        "ggml_nelements": (ctypes.c_int64, [handle]),
        "ggml_nbytes": (size, [handle]),
        "ggml_backend_tensor_get": (None, [handle, handle, size, size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
