"""`localr1 imatrix` against llama.cpp's own tool, whose results are in tests/golden/quant/imatrix.

On one machine with one build the files are equal to the byte. Elsewhere activations differ by the
order in which a processor adds, and by the instructions it has: a part in 500 is allowed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant.importance.reader import read_importance
from quant.pipeline import convert
from tests.support.command_line import localr1
from tests.support.importance_files import (
    MEASURED,
    arithmetic,
    describe_importance,
    golden_importance,
    write_measured_checkpoint,
)


@pytest.fixture(params=sorted(MEASURED))
def measured(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    model, text, output = (tmp_path / file for file in ("model.gguf", "text.txt", "out.gguf"))
    convert(write_measured_checkpoint(name, tmp_path), model, file_type="BF16")
    text.write_text(arithmetic(), encoding="utf-8")
    size = ("--ctx", str(MEASURED[name]), "--chunks", "3", "--threads", "1")

    run = localr1("imatrix", model, text, "-o", output, *size, home=tmp_path)

    assert (run.code, run.stdout) == (0, f"{output}\n"), run.stderr
    read_importance(output)
    return name, describe_importance(output)


def test_file_is_what_llama_cpps_tool_makes(measured: tuple[str, dict[str, Any]]) -> None:
    name, ours = measured
    theirs = json.loads(golden_importance(name).read_text(encoding="utf-8"))

    (dataset,) = ours["keys"]["imatrix.datasets"]
    ours["keys"]["imatrix.datasets"] = [Path(dataset).name]
    assert ours["keys"] == theirs["keys"]
    assert list(ours["tensors"]) == list(theirs["tensors"])
    for tensor, (shape, values) in theirs["tensors"].items():
        assert ours["tensors"][tensor][0] == shape, tensor
        # a token whose experts score nearly alike may go to another one elsewhere
        tolerance = 0.05 if "_exps." in tensor else 0 if tensor.endswith(".counts") else 2e-3
        assert ours["tensors"][tensor][1] == pytest.approx(values, rel=tolerance), tensor
