"""A program: logits after every token of several texts, by the package's own high-level class.

    python -m tests.support.all_logits MODEL TEXTS.json OUT.npz

Another way to logits than the engine's or the verifier's: `llama_cpp.Llama` builds its batches and
copies its logits itself. OUT holds an array of token ids and one of logits for each text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(model_path: str, texts_path: str, out_path: str) -> None:
    """One array of rows per text."""
    from llama_cpp import Llama

    model = Llama(model_path, n_ctx=512, n_threads=1, logits_all=True, verbose=False)
    arrays: dict[str, Any] = {}
    for number, text in enumerate(json.loads(Path(texts_path).read_text(encoding="utf-8"))):
        ids = model.tokenize(text.encode(), special=False)
        model.reset()
        model.eval(ids)
        arrays[f"ids{number}"] = np.array(ids)
        arrays[f"logits{number}"] = np.array(model.scores[: len(ids)])
    np.savez(out_path, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
