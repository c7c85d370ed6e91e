"""Makes imatrix/*.json: what llama.cpp's own tool measures on small models.

Needs `llama-imatrix` (here: built from the source vendored in llama-cpp-python 0.3.36). From the
repository's root:

    PYTHONPATH=. python tests/golden/quant/make_imatrix.py LLAMA_IMATRIX
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from quant.pipeline import convert
from tests.support.importance_files import (
    MEASURED,
    arithmetic,
    describe_importance,
    golden_importance,
    write_measured_checkpoint,
)


def main(tool: str) -> None:
    """Measure every model and keep some numbers."""
    for name, n_ctx in MEASURED.items():
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            source = write_measured_checkpoint(name, directory)
            convert(source, directory / "model.gguf", file_type="BF16")
            (directory / "text.txt").write_text(arithmetic(), encoding="utf-8")
            files = ["-m", "model.gguf", "-f", "text.txt", "-o", "imatrix.gguf"]
            size = ["-c", str(n_ctx), "-b", str(n_ctx), "--chunks", "3"]
            command = [tool, *files, *size, "--no-ppl", "-t", "1"]
            subprocess.run(command, cwd=directory, check=True, capture_output=True)
            described = describe_importance(directory / "imatrix.gguf")
        golden_importance(name).write_text(json.dumps(described) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
