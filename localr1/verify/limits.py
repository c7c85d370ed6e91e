"""Owns how far a result may be from its source before something must be wrong with it.

Two kinds of limits. Those on tensors find damage: rounding alone stays far below them. Those on
predictions find a conversion that went wrong as a whole; how good a type is for a purpose is not
theirs to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from localr1.errors import OutputDamagedError
from localr1.verify.tensor_errors import TensorError
from quant.gguf.types import TensorType

_TENSOR = {
    TensorType.F32: 0.0,
    TensorType.F16: 0.01,
    TensorType.BF16: 0.01,
    TensorType.Q8_0: 0.03,
    TensorType.Q6_K: 0.08,
    TensorType.Q5_0: 0.15,
    TensorType.Q5_1: 0.15,
    TensorType.Q5_K: 0.15,
}
"""Relative error; two to four times what weights that are normally distributed suffer (measured:
0.006 for Q8_0, 0.018 Q6_K, 0.037 Q5_K, 0.074 Q4_K, 0.08 IQ4_XS and Q4_1, 0.09 Q4_0)."""
_FOUR_BIT_TENSOR = 0.35

_KL_DIVERGENCE = {
    "F32": 0.01,
    "F16": 0.01,
    "BF16": 0.01,
    "Q8_0": 0.02,
    "Q6_K": 0.06,
    "Q5_K_M": 0.25,
    "Q5_K_S": 0.25,
}
"""Nats. About twice the largest that was measured on models of 5 to 270 million weights, which
suffer most (docs/convert.md); more than ten times what llama.cpp publishes for one of 8 billion
(tools/perplexity/README.md)."""
_FOUR_BIT_KL = 0.7


def kl_limit(file_type: str) -> float:
    """The largest mean KL divergence, in nats, that the type explains."""
    return _KL_DIVERGENCE.get(file_type, _FOUR_BIT_KL)


def require_explained(errors: Sequence[TensorError]) -> None:
    """Raises: OutputDamagedError naming the first tensor whose error no rounding explains."""
    for error in errors:
        limit = _TENSOR.get(error.tensor_type, _FOUR_BIT_TENSOR)
        if not (error.rms <= limit and error.largest <= limit):  # nor if it is no number
            raise OutputDamagedError(
                f"tensor {error.name} is not what it was made from: its {error.tensor_type.name} "
                f"weights are off by {error.rms:.2g} of their size"
            )
