"""The verifier's numbers against plain definitions on logits that came another way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localr1.verify.passages import PASSAGES
from localr1.verify.verifier import Verifier
from quant.pipeline import convert
from tests.support.models import R1_NANO_CHECKPOINT

_ROOT = Path(__file__).parents[2]


def _logits(model: Path, directory: Path) -> Any:
    texts, out = directory / "texts.json", directory / f"{model.stem}.npz"
    texts.write_text(json.dumps(PASSAGES), encoding="utf-8")
    command = [sys.executable, "-m", "tests.support.all_logits", str(model), str(texts), str(out)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, timeout=100)
    return np.load(out)


def _log_shares(logits: Any) -> Any:
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits - 50).sum(axis=1, keepdims=True)) - 50


def test_divergence_agreement_and_perplexity_of_r1_nano(r1_nano: Path, tmp_path: Path) -> None:
    source = convert(R1_NANO_CHECKPOINT, tmp_path / "source.gguf", file_type="BF16").output
    of_source, of_result = _logits(source, tmp_path), _logits(r1_nano, tmp_path)

    with Verifier() as verifier:
        verifier.run(r1_nano)
        seen = verifier.compare_predictions(source, lambda _share: None)

    divergences, agreements, p_came, q_came = [], [], [], []
    for number in range(len(PASSAGES)):
        ids = of_source[f"ids{number}"]
        p = _log_shares(of_source[f"logits{number}"][:-1])
        q = _log_shares(of_result[f"logits{number}"][:-1])
        divergences += list((np.exp(p) * (p - q)).sum(axis=1))
        agreements += list(p.argmax(axis=1) == q.argmax(axis=1))
        p_came += list(np.take_along_axis(p, ids[1:, None], axis=1)[:, 0])
        q_came += list(np.take_along_axis(q, ids[1:, None], axis=1)[:, 0])
    assert seen.n_tokens == len(divergences) > 800
    # batches of another size add up in another order: a few logits move by a thousandth
    assert seen.kl_divergence == pytest.approx(np.mean(divergences), rel=0.02)
    assert seen.top1_agreement == pytest.approx(np.mean(agreements), abs=0.01)
    assert seen.source_perplexity == pytest.approx(np.exp(-np.mean(p_came)), rel=0.02)
    assert seen.result_perplexity == pytest.approx(np.exp(-np.mean(q_came)), rel=0.02)


def test_a_model_is_its_own_equal(r1_nano: Path) -> None:
    shares: list[float] = []

    with Verifier() as verifier:
        verifier.run(r1_nano)
        seen = verifier.compare_predictions(r1_nano, shares.append)

    assert seen.kl_divergence == pytest.approx(0, abs=1e-12)
    assert seen.top1_agreement == 1.0
    assert seen.perplexity_ratio == 1.0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1, abs=0.01)
