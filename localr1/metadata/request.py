"""Owns how a load is asked for in JSON: the `request` that goes with a model's metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localr1.errors import UsageError
from localr1.plan.request import PlanRequest

_BUILD = re.compile(r"b?(\d{1,6})")
_TYPES: dict[str, type] = {
    "n_batch": int,
    "n_ubatch": int,
    "n_seq_max": int,
    "n_outputs": int,
    "n_gpu_layers": int,
    "n_host_experts": int,
    "flash_attn": str,
    "type_k": str,
    "type_v": str,
    "swa_full": bool,
    "kv_unified": bool,
    "use_mmap": bool,
}
_FLASH_ATTN: dict[object, str] = {True: "on", False: "off", "1": "on", "0": "off", "enabled": "on"}


def read_request(values: Mapping[str, object]) -> PlanRequest:
    """The request of a plan, in the words of the plan's own JSON; what is missing is the default.

    `engine` is a build number of llama.cpp ("b5002") where it is not the mirrored version.
    Raises: UsageError naming the value that makes no sense.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if "mmap" in given:
        given["use_mmap"] = given.pop("mmap")
    flash_attn = given.get("flash_attn")
    if isinstance(flash_attn, bool | int | str):
        given["flash_attn"] = _FLASH_ATTN.get(flash_attn, flash_attn)
    fields: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if name in given:
            fields[name] = _typed(name, given[name], kind)
    if fields.get("flash_attn", "auto") not in {"on", "off", "auto"}:
        raise UsageError(f"request: flash_attn is {fields['flash_attn'][:40]!r}, not on, off, auto")
    n_ctx = given.get("n_ctx")
    fields["n_ctx"] = n_ctx if n_ctx in (None, "max") else _typed("n_ctx", n_ctx, int)
    fields["engine_build"] = _build(given.get("engine"))
    return PlanRequest(**fields)


def _typed(name: str, value: object, kind: type) -> Any:
    if type(value) is not kind or (kind is int and value < 0):  # type: ignore[operator]
        raise UsageError(f"request: {name} is {str(value)[:40]!r}, no {kind.__name__}")
    return value


def _build(engine: object) -> int | None:
    match = _BUILD.match(engine) if isinstance(engine, str) else None
    return int(match[1]) if match else None
