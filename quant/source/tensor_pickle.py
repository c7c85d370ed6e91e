"""Owns reading the pickle in a PyTorch file without running it.

A pickle is a program that may call anything. This machine knows the few instructions that a saved
state dictionary consists of, and calls nothing: a name on the list becomes a word, a call of such
a word becomes a description, and everything else is refused by its name. The standard library only
cuts the bytes into instructions (`pickletools.genops`, which executes none).
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quant.errors import CheckpointDamagedError, UnsupportedError

MAX_PICKLE_BYTES = 16 * 1024**2
_MAX_INSTRUCTIONS = 4_000_000  # a tensor takes about thirty
_MAX_DEPTH = 64

_STORAGES = {
    "torch BFloat16Storage": "BF16",
    "torch HalfStorage": "F16",
    "torch FloatStorage": "F32",
    "torch DoubleStorage": "F64",
    "torch LongStorage": "I64",
    "torch IntStorage": "I32",
    "torch ShortStorage": "I16",
    "torch CharStorage": "I8",
    "torch ByteStorage": "U8",
    "torch BoolStorage": "BOOL",
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ALLOWED = {_DICT, _TENSOR, _PARAMETER, *_STORAGES}


@dataclass(frozen=True, slots=True)
class Word:
    """A name on the list, standing for itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A member of the archive that holds numbers."""

    dtype: str
    key: str
    n_items: int


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A contiguous view of a storage."""

    storage: Storage
    start: int
    """First item in the storage."""
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Oddity:
    """A tensor that is described and cannot be read; refused only if it has a name."""

    reason: str


def read_tensors(data: bytes, origin: str) -> dict[str, PickledTensor]:
    """The state dictionary that a pickle describes. `origin` names the file in errors.

    Raises: UnsupportedError for anything but tensors by name; CheckpointDamagedError.
    """
    machine = _Machine(origin)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if number >= _MAX_INSTRUCTIONS:
                raise CheckpointDamagedError(f"{origin} has over {_MAX_INSTRUCTIONS:,} steps")
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError) as exc:
        # genops raises ValueError; the rest are a stack or memo that the program got wrong
        reason = f"{type(exc).__name__}: {str(exc).splitlines()[0][:120] if str(exc) else ''}"
        raise CheckpointDamagedError(
            f"{origin} is no valid pickle ({reason})",
            hint="the file is truncated or damaged; fetch it again",
        ) from exc
    return _named_tensors(machine.result, origin)


def _named_tensors(result: Any, origin: str) -> dict[str, PickledTensor]:
    if not isinstance(result, dict):
        raise UnsupportedError(f"{origin} holds no dictionary of tensors")
    for name, tensor in result.items():
        if not isinstance(name, str):
            raise UnsupportedError(f"{origin} holds an entry whose name is no text")
        if isinstance(tensor, _Oddity):
            raise UnsupportedError(f"{origin}: tensor {name[:200]!r} {tensor.reason}")
        if not isinstance(tensor, PickledTensor):
            raise UnsupportedError(f"{origin}: the entry {name[:200]!r} is no tensor")
    return result


class _Machine:
    """A stack, a memo, and the instructions that build dictionaries of tensors."""

    def __init__(self, origin: str) -> None:
        self.result: Any = None
        self._origin = origin
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[Any], None]] = {
            "PROTO": self._nothing,
            "FRAME": self._nothing,
            "STOP": self._stop,
            "MARK": self._mark,
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "TUPLE1": lambda _: self._push(self._popped(1)),
            "TUPLE2": lambda _: self._push(self._popped(2)),
            "TUPLE3": lambda _: self._push(self._popped(3)),
            "BINPUT": self._remember,
            "LONG_BINPUT": self._remember,
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "BINGET": self._recall,
            "LONG_BINGET": self._recall,
            "GLOBAL": self._word,
            "STACK_GLOBAL": self._word_from_stack,
            "BINPERSID": lambda _: self._push(self._storage(self._popped(1)[0])),
            "REDUCE": self._call,
            "BUILD": self._build,
            "SETITEM": lambda _: self._set_items(list(self._popped(2))),
            "SETITEMS": lambda _: self._set_items(self._since_mark()),
        }
        for name in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"):
            self._steps[name] = self._push

    def step(self, name: str, argument: Any) -> None:
        """Run one instruction. Raises: UnsupportedError if it is not among ours."""
        if name not in self._steps:
            raise UnsupportedError(
                f"{self._origin} uses the pickle instruction {name}, "
                "which no dictionary of tensors needs: do not trust this file"
            )
        self._steps[name](argument)

    def _nothing(self, _: Any) -> None:
        """Framing."""

    def _stop(self, _: Any) -> None:
        self.result = self._popped(1)[0]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _popped(self, n_values: int) -> tuple[Any, ...]:
        if len(self._stack) < n_values:
            raise IndexError("the stack is empty")
        values = tuple(self._stack[-n_values:])
        del self._stack[-n_values:]
        return values

    def _mark(self, _: Any) -> None:
        if len(self._marks) >= _MAX_DEPTH:
            raise ValueError("it nests too deep")
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values = self._stack
        self._stack = self._marks.pop()
        return values

    def _remember(self, slot: int) -> None:
        self._memo[slot] = self._stack[-1]

    def _recall(self, slot: int) -> None:
        self._push(self._memo[slot])

    def _word(self, name: str) -> None:
        if name not in _ALLOWED:
            raise UnsupportedError(
                f"{self._origin} asks for {name.replace(' ', '.')[:200]!r}, "
                "which no dictionary of tensors needs: do not trust this file"
            )
        self._push(Word(name))

    def _word_from_stack(self, _: Any) -> None:
        module, name = self._popped(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is no text")
        self._word(f"{module} {name}")

    def _call(self, _: Any) -> None:
        word, arguments = self._popped(2)
        match word, arguments:
            case Word(name=name), () if name == _DICT:
                self._push({})
            case Word(name=name), (Storage() as storage, int(start), shape, strides, *_) if (
                name == _TENSOR
            ):
                self._push(_tensor(storage, start, _sizes(shape), _sizes(strides)))
            case Word(name=name), (PickledTensor() | _Oddity() as tensor, *_) if name == _PARAMETER:
                self._push(tensor)
            case _:
                what = word.name.replace(" ", ".") if isinstance(word, Word) else "what is no name"
                raise UnsupportedError(
                    f"{self._origin} calls {what!r} in a way that no dictionary of tensors does"
                )

    def _build(self, _: Any) -> None:
        # an ordered dictionary carries `_metadata`, versions of modules, which nobody needs
        target, _state = self._popped(2)
        if not isinstance(target, dict):
            raise UnsupportedError(f"{self._origin} changes an object that is no dictionary")
        self._push(target)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("items are set on what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise TypeError("a key is no text")
            if key in target:
                raise CheckpointDamagedError(f"{self._origin}: {key[:200]!r} occurs twice")
            target[key] = value

    def _storage(self, reference: Any) -> Storage:
        match reference:
            case ("storage", Word(name=name), str(key), str(), int(n_items), *_) if (
                name in _STORAGES and 0 <= n_items < 2**63
            ):
                return Storage(_STORAGES[name], key, n_items)
        raise UnsupportedError(f"{self._origin} refers to something that is no storage")


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(
        type(value) is int and 0 <= value < 2**63 for value in values
    ):
        raise ValueError("a shape is no list of sizes")
    return values


def _tensor(
    storage: Storage, start: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> PickledTensor | _Oddity:
    n_items, expected = 1, []
    for size in reversed(shape):
        expected.append(n_items)
        n_items *= size
    # the stride of a dimension of size 1 is never used, and torch writes any number there
    is_contiguous = len(strides) == len(shape) and all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(shape, strides, reversed(expected), strict=True)
    )
    if not is_contiguous and n_items:
        return _Oddity("is not stored row by row; save the model as safetensors")
    if start < 0 or start + math.prod(shape) > storage.n_items:
        return _Oddity(f"does not fit into its storage of {storage.n_items:,} items")
    return PickledTensor(storage, start, shape)
