"""Makes mixes.json: llama.cpp's own record of the types it gives the tensors of published models.

Needs llama.cpp's source (here: as vendored in llama-cpp-python 0.3.36), whose
tests/snapshots/*.schema list, for each file type, the tensors that get another type than most.
From the repository's root:

    PYTHONPATH=. python tests/golden/quant/make_mixes.py LLAMA_CPP
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from quant.recipe import FILE_TYPES
from tests.support.gguf_mixes import Condensed, condense

_MODELS = {
    "deepseek-v3": "deepseek-v3.1",
    "gemma-3-4b": "gemma-3-4b-it",
    "gpt-oss-120b": "gpt-oss-120b",
    "llama-3.1-70b": "meta-llama-3.1-70b-instruct",
    "qwen3-0.6b": "qwen3-0.6b",
    "qwen3-14b": "qwen3-14b",
}
"""Those whose tensors we know, by our name: llama.cpp's."""


def main(llama_cpp: Path) -> None:
    """Write the golden file."""
    mixes = {
        ours: _mixes((llama_cpp / f"tests/snapshots/{theirs}.schema").read_text(encoding="utf-8"))
        for ours, theirs in _MODELS.items()
    }
    path = Path(__file__).parent / "mixes.json"
    path.write_text(json.dumps(mixes, indent=1) + "\n", encoding="utf-8")


def _mixes(text: str) -> dict[str, Condensed]:
    wanted = {file_type.name for file_type in FILE_TYPES}
    mixes: dict[str, Condensed] = {}
    for section in re.split(r"^\[", text, flags=re.MULTILINE)[1:]:
        head, *lines = section.splitlines()
        file_type, default = head.split("] ")
        if file_type in wanted:
            types = dict(line.upper().rsplit(" ", 1) for line in lines if line)
            mixes[file_type] = condense(
                {name.lower(): tensor_type for name, tensor_type in types.items()}, default.upper()
            )
    return mixes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
