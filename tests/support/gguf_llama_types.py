"""Asks llama.cpp which type it would give each tensor. Run as a module, in a child.

stdin: [{"model": path, "file_type", "has_imatrix", "overrides"}]; stdout: a list with an object per
request, from tensor name to type, as a dry run of the quantiser logs them. Tensors that it would
leave alone are not in it.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.support.llama_child import ask, logged

_CHOICE = re.compile(r"\] +(\S+) +- \[[^]]*\], type = .*?\((\w+)\)\n")


@dataclass(frozen=True, slots=True)
class TypeRequest:
    """What is asked of the quantiser."""

    model: str
    """Path of the file."""
    file_type: int
    has_imatrix: bool = False
    overrides: tuple[tuple[str, int], ...] = ()
    """Regular expressions and the types of the tensors that they are found in."""


def llama_types(requests: Sequence[TypeRequest]) -> list[dict[str, str]]:
    """The type of every quantised tensor, for each request."""
    answer: list[dict[str, str]] = ask(
        "tests.support.gguf_llama_types", [asdict(request) for request in requests], timeout_s=100
    )
    return answer


def _main() -> None:
    import llama_cpp.llama_cpp as c

    log, _callback = logged(c)
    answers = []
    for request in json.load(sys.stdin):
        log.clear()
        params = _params(c, request)
        code = c.llama_model_quantize(request["model"].encode(), b"unused", ctypes.byref(params))
        assert code == 0, "".join(log[-5:])
        choices = _CHOICE.findall("".join(log))
        answers.append({name: type_name.upper() for name, type_name in choices})
    json.dump(answers, sys.stdout)


def _params(c: Any, request: dict[str, Any]) -> Any:
    params = c.llama_model_quantize_default_params()
    params.ftype = request["file_type"]
    params.dry_run = True
    params.nthread = 1
    if request["has_imatrix"]:
        one = (ctypes.c_float * 1)(1.0)
        entries = (c.llama_model_imatrix_data * 2)()
        entries[0].name, entries[0].data, entries[0].size = b"any", one, 1
        params.imatrix = entries
    if request["overrides"]:
        overrides = (c.llama_model_tensor_override * (len(request["overrides"]) + 1))()
        for entry, (pattern, type_id) in zip(overrides, request["overrides"], strict=False):
            entry.pattern, entry.type = pattern.encode(), type_id
        params.tt_overrides = overrides
    return params


if __name__ == "__main__":
    _main()
