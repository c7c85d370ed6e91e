from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.cli.main import run
from tests.support.checkpoint_families import write_family


@pytest.mark.parametrize("option", ["--no-verify", "--dry-run"])
def test_what_a_gguf_does_without_is_told(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(write_family("gemma3_multimodal", tmp_path))
    arguments = ["convert", source, "-q", "bf16", "-o", str(tmp_path / "o.gguf"), option, "--force"]

    assert run(arguments) == 0
    told = capsys.readouterr().err
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert "the part that sees pictures is left out (" in told
    assert len(document["notices"]) == 1
    assert document["notices"][0] in told
