"""Owns types that the user gives to tensors by name: `REGEX=TYPE`, as in llama.cpp's quantiser.

The first expression that is found in a name decides. Letters may be of either case. A regular
expression can take longer than the universe has, and Python cannot stop one: so it runs in a child
process, which can be stopped.
Source: tools/quantize/quantize.cpp, parse_tensor_type, version 0.3.36 of llama-cpp-python.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from quant.errors import BadRequestError
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import TensorType
from quant.recipe.kept import is_quantisable

TENSOR_TYPES = (
    TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q8_0, TensorType.Q4_0,
    TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q4_K, TensorType.Q5_K,
    TensorType.Q6_K, TensorType.IQ4_NL, TensorType.IQ4_XS, TensorType.MXFP4,
)  # fmt: skip
"""What a tensor can become."""

_MAX_LENGTH = 200
_MAX_SECONDS = 10

_SEARCH = """
import json, re, sys
patterns, names = json.load(sys.stdin)
found = []
for pattern in patterns:
    try:
        expression = re.compile(pattern, re.IGNORECASE)
        found.append([i for i, name in enumerate(names) if expression.search(name)])
    except (re.error, RecursionError, OverflowError) as exc:
        found.append(str(exc))
json.dump(found, sys.stdout)
"""
"""For each expression the numbers of the names it is in, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TypeOverride:
    """A type for all tensors in whose names an expression is found."""

    pattern: str
    tensor_type: TensorType


def parse_override(text: str) -> TypeOverride:
    """From `REGEX=TYPE`. Raises: BadRequestError."""
    pattern, _, type_name = text.rpartition("=")
    known = {tensor_type.name: tensor_type for tensor_type in TENSOR_TYPES}
    if not pattern:
        raise BadRequestError(f"{text[:80]!r} is not REGEX=TYPE", hint="say ffn_down=Q8_0")
    if type_name.upper() not in known:
        raise BadRequestError(
            f"a tensor cannot become {type_name[:40]!r}; known are {', '.join(known)}"
        )
    if len(pattern) > _MAX_LENGTH:
        raise BadRequestError(f"the expression {pattern[:40]!r}... is over {_MAX_LENGTH} long")
    return TypeOverride(pattern, known[type_name.upper()])


def overridden_types(
    overrides: Sequence[TypeOverride], tensors: Sequence[MappedTensor], architecture: str
) -> dict[str, TensorType]:
    """The given types by tensor name, for the tensors that take part in the mix.

    Raises: BadRequestError for an expression that is in no name, or takes too long.
    """
    if not overrides:
        return {}
    names = [
        tensor.name for tensor in tensors if is_quantisable(tensor.name, tensor.shape, architecture)
    ]
    types: dict[str, TensorType] = {}
    for override, found in zip(overrides, _search(overrides, names), strict=True):
        if isinstance(found, str):
            raise BadRequestError(f"{override.pattern[:80]!r} is no regular expression: {found}")
        if not found:
            raise BadRequestError(
                f"{override.pattern[:80]!r} is in no name of a tensor that can have another type",
                hint="--dry-run lists the names",
            )
        for i in found:
            types.setdefault(names[i], override.tensor_type)
    return types


def _search(overrides: Sequence[TypeOverride], names: Sequence[str]) -> list[list[int] | str]:
    question = json.dumps([[override.pattern for override in overrides], list(names)])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _SEARCH],
            input=question.encode(),
            capture_output=True,
            timeout=_MAX_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as exc:
        raise BadRequestError(
            f"the tensors of --tensor-type were not found in {_MAX_SECONDS} s",
            hint="take a regular expression without repetitions inside repetitions",
        ) from exc
    found: list[list[int] | str] = json.loads(done.stdout)
    return found
