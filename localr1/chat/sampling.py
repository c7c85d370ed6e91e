"""Owns which sampling settings win: the user's, then the model's own, then DeepSeek's for R1.

Models bring advice under two vocabularies: `general.sampling.*` in a GGUF and the names of
`generation_config.json`. Both are understood; a value that makes no sense is passed over, because
it comes from a file and the next source is better than a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from localr1.worker.frames import Sampling

# general.sampling.* (llama.cpp src/llama-arch.cpp) and generation_config.json -> Sampling
_MODEL_NAMES = {
    "temp": "temperature",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
    "repetition_penalty": "repeat_penalty",
    "penalty_last_n": "repeat_last_n",
}
_WHOLE = frozenset({"top_k", "repeat_last_n", "seed"})
_RANGES = {
    "temperature": (0.0, 100.0),
    "top_k": (-1, 2**31 - 1),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (1e-3, 100.0),
    "repeat_last_n": (-1, 2**31 - 1),
    "frequency_penalty": (-100.0, 100.0),
    "presence_penalty": (-100.0, 100.0),
    "seed": (0, 2**32 - 2),
}


def merge_sampling(user: Mapping[str, float], model: Mapping[str, float]) -> Sampling:
    """Sampling for one reply.

    `user` has the field names of `Sampling`; `model` has GGUF keys, with or without the prefix
    `general.sampling.`, or those of generation_config. Unknown keys are ignored.
    """
    merged: dict[str, float] = {}
    if model.get("do_sample", True) is False:
        merged["temperature"] = 0.0
    else:
        for key, value in model.items():
            _put(merged, _MODEL_NAMES.get(key.removeprefix("general.sampling.")), value)
    for key, value in user.items():
        _put(merged, key, value)
    whole = {name: int(value) for name, value in merged.items() if name in _WHOLE}
    real = {name: float(value) for name, value in merged.items() if name not in _WHOLE}
    return Sampling(**whole, **real)  # type: ignore[arg-type] # keys are the field names in _RANGES


def _put(merged: dict[str, float], name: str | None, value: object) -> None:
    """Set a known name to a number in its range; anything else changes nothing."""
    if name not in _RANGES or isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = _RANGES[name]
    if math.isfinite(value) and low <= value <= high:
        merged[name] = value
