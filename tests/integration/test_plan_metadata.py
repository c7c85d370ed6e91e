"""`plan --metadata`: a plan from what a log or a model page prints, for a card that is not here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localr1.cli.main import run
from tests.support.command_line import localr1

_DOCUMENT: dict[str, Any] = {
    "gguf_kv": {
        "qwen2.block_count": 28, "qwen2.context_length": 131072, "qwen2.embedding_length": 3584,
        "qwen2.feed_forward_length": 18944, "qwen2.attention.head_count": 28,
        "qwen2.attention.head_count_kv": 4, "qwen2.vocab_size": 152064,
    },
    "tensor_types": {"f32": 141, "q8_0": 198},
    "request": {"n_ctx": 512, "n_ubatch": 32, "flash_attn": "0", "engine": "b2874"},
    "devices": ["rtx-4090"],
}  # fmt: skip


def _plan(document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert run(["plan", "--metadata", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_published_load_comes_out_as_it_was_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (device,) = _plan(_DOCUMENT, tmp_path, capsys)["devices"]

    # llama.cpp issue 8503: 7165.44, 28.00 and 19.00 MiB on the device
    assert device["weights_bytes"] / 2**20 == pytest.approx(7165.44, abs=0.01)
    assert device["kv_bytes"] == 28 * 2**20
    assert device["compute_bytes"] / 2**20 == pytest.approx(19, abs=0.01)


def test_weights_nobody_sized_are_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = _plan(_DOCUMENT | {"tensor_types": None}, tmp_path, capsys)

    assert {place["weights_bytes"] for place in (*plan["devices"], plan["host"])} == {None}
    assert plan["devices"][0]["kv_bytes"] == 28 * 2**20


def test_metadata_may_come_through_a_pipe(tmp_path: Path) -> None:
    done = localr1("plan", "--metadata", "-", home=tmp_path, stdin=json.dumps(_DOCUMENT))

    assert (done.code, done.stderr) == (0, "")
    assert "rtx-4090" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["demo", "--metadata", "{path}"], 2), (["--metadata", "{path}"], 6)],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"gguf_kv": {}}', encoding="utf-8")

    assert run(["plan", *(text.format(path=path) for text in arguments)]) == code

    assert capsys.readouterr().err.count("\n") == 1
