"""Asks llama.cpp where it would keep the weights of a file, of any size. Run as a module.

A real load, mapped, that is called off when the buffers are there and nothing has been read yet.
stdin: {"model": path, "repacks": bool}; stdout: MiB by buffer, as llama.cpp's log prints them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.support.llama_child import ask, logged

_SIZE = re.compile(r"(\S+) model buffer size = +([\d.]+) MiB")


def llama_weights(model: Path, *, repacks: bool = True) -> dict[str, float]:
    """MiB by buffer: the mapped span and, if the processor wants it so, a repacked second copy."""
    question = {"model": str(model), "repacks": repacks}
    answer: dict[str, float] = ask("tests.support.gguf_llama_weights", question, timeout_s=300)
    return answer


def _main() -> None:
    import llama_cpp.llama_cpp as c

    log, _callback = logged(c)
    question = json.load(sys.stdin)
    c.llama_backend_init()
    wanted = c.llama_model_default_params()
    wanted.n_gpu_layers = 0
    wanted.use_extra_bufts = question["repacks"]
    wanted.progress_callback = c.llama_progress_callback(lambda _share, _user_data: False)
    c.llama_model_load_from_file(question["model"].encode(), wanted)
    json.dump({name: float(mib) for name, mib in _SIZE.findall("".join(log))}, sys.stdout)


if __name__ == "__main__":
    _main()
