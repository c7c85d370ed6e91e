"""Input that is there and cannot be read: one exit code, and the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from localr1.cli.main import run
from quant.errors import QuantError
from tests.support.checkpoint_zoo import write_checkpoint

_UNREADABLE = Path("/proc/self/mem")  # a regular file; reading its beginning fails, also for root


@pytest.mark.skipif(not _UNREADABLE.exists(), reason="needs a file that fails when it is read")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "README", "model.gguf"])
def test_what_cannot_be_read_is_exit_code_6_and_one_line_with_its_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(_UNREADABLE)
    asked = source if name.endswith(".json") else source / name

    code = run(["convert", str(asked), "--dry-run"])

    told = capsys.readouterr().err
    assert code == 6
    assert name in told
    assert told.count("\n") == 1


def _leaves(base: type[QuantError]) -> list[type[QuantError]]:
    return [leaf for child in base.__subclasses__() for leaf in (child, *_leaves(child))]


@pytest.mark.parametrize(
    "error", [e for e in _leaves(QuantError) if e.__module__ == "quant.errors"]
)
def test_every_error_of_a_conversion_says_what_to_do(error: type[QuantError]) -> None:
    assert error("something is wrong").hint
    assert error("something is wrong", hint="mend it").hint == "mend it"
