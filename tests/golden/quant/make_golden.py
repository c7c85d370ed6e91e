"""Makes converter.json anew: what llama.cpp's own converter writes for the test checkpoints.

Needs what the tests do not: llama.cpp's source (here: as vendored in llama-cpp-python 0.3.36) and
torch with transformers (5.23 at the time). From the repository's root:

    PYTHONPATH=. python tests/golden/quant/make_golden.py LLAMA_CPP

The converter looks pre-tokenizers up by a hash of token ids and knows none of these vocabularies,
so it is told the name; everything else is its own doing.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_zoo import write_checkpoint

GOLDEN = Path(__file__).parent / "converter.json"
PRETOKENIZERS = {
    "r1_nano": "qwen2",
    "llama3": "llama-bpe",
    "qwen2_tied": "qwen2",
    "odd_rows": "qwen2",
    "fp8": "qwen2",
}
OUT_TYPES = ("f32", "f16", "bf16", "q8_0")


def main(llama_cpp: Path) -> None:
    """Convert every checkpoint to every type and keep the descriptions."""
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    script: Any = importlib.import_module("convert_hf_to_gguf")
    base: Any = importlib.import_module("conversion.base")
    golden: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind, name in PRETOKENIZERS.items():
            base.TextModel.get_vocab_base_pre = lambda _self, _tokenizer, name=name: name
            directory = write_checkpoint(kind, Path(scratch))
            for out_type in OUT_TYPES:
                output = Path(scratch) / f"{kind}.gguf"
                sys.argv = ["", str(directory), "--outtype", out_type, "--outfile", str(output)]
                script.main()
                golden.setdefault(kind, {})[out_type] = describe_gguf(output)
    text = json.dumps(golden, ensure_ascii=False, indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
