from __future__ import annotations

import json
from dataclasses import replace

import pytest

from localr1.cli.convert_report import exit_code
from localr1.errors import OutputDamagedError
from localr1.verify.fidelity import Fidelity, TensorSummary, summary
from localr1.verify.frames import Prediction
from localr1.verify.limits import kl_limit, require_explained
from localr1.verify.tensor_errors import TensorError
from quant.gguf.types import TensorType
from quant.recipe import FILE_TYPES

_TENSORS = TensorSummary(worst="a", max_error=0.08, mean_error=0.07, checked_share=1.0)
_SEEN = Prediction(
    n_tokens=500,
    n_vocab=1000,
    kl_divergence=0.05,
    top1_agreement=0.9,
    source_perplexity=12.0,
    result_perplexity=12.6,
)
_GOOD = Fidelity("Q4_K_M", _TENSORS, _SEEN)


def _error(tensor_type: TensorType, rms: float, largest: float = 0.0) -> TensorError:
    return TensorError("blk.0.x", tensor_type, 100, 100, rms, largest)


def test_a_small_divergence_passes_and_a_large_one_fails() -> None:
    too_far = replace(_SEEN, kl_divergence=kl_limit("Q4_K_M") * 1.01)

    assert _GOOD.verdict == "pass"
    assert replace(_GOOD, prediction=too_far).verdict == "fail"


def test_a_source_that_predicts_worse_than_a_guess_cannot_fail_its_result() -> None:
    guessing = replace(_SEEN, kl_divergence=9.0, source_perplexity=1000.0)

    assert replace(_GOOD, prediction=guessing).verdict == "unclear"


def test_weights_that_are_the_sources_own_pass_without_predictions() -> None:
    same = replace(_TENSORS, max_error=0.0, mean_error=0.0)

    assert Fidelity("BF16", same).verdict == "pass"
    assert Fidelity("Q4_K_M", _TENSORS).verdict == "not compared"
    assert Fidelity("Q4_K_M", None).verdict == "not compared"


def test_a_result_that_llama_cpp_refuses_fails() -> None:
    assert replace(_GOOD, prediction=None, reason="no", runs=False).verdict == "fail"


def test_one_line_says_verdict_and_numbers() -> None:
    assert _GOOD.line() == (
        "fidelity: pass; KL divergence 0.0500 (limit 0.7), same first choice 90.0%, "
        "perplexity x1.050 over 500 tokens; tensor error 7.00%, at most 8.00%, "
        "100% of the weights checked"
    )
    assert Fidelity("Q4_K_M", None, reason="no memory").line() == (
        "fidelity: predictions not compared; no memory"
    )


def test_json_has_every_number_and_null_for_what_was_not_measured() -> None:
    document = json.loads(json.dumps(replace(_GOOD, prediction=None, reason="why").as_json()))

    assert document["verdict"] == "not compared"
    assert document["reason"] == "why"
    assert document["tensor_error_max"] == 0.08
    assert document["kl_divergence"] is None
    assert document.keys() == _GOOD.as_json().keys()


def test_a_summary_weighs_tensors_by_their_size_and_names_the_worst() -> None:
    small = TensorError("small", TensorType.Q4_K, 100, 100, 0.3, 0.1)
    large = TensorError("large", TensorType.Q4_K, 900, 100, 0.1, 0.1)

    seen = summary([large, small])

    assert seen.worst == "small"
    assert seen.max_error == 0.3
    assert seen.mean_error == pytest.approx(0.12)
    assert seen.checked_share == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("tensor_type", "rms"), [("Q4_K", 0.074), ("Q4_0", 0.091), ("Q6_K", 0.019), ("Q8_0", 0.0057)]
)
def test_what_rounding_costs_is_no_damage(tensor_type: str, rms: float) -> None:
    require_explained([_error(TensorType[tensor_type], rms, largest=rms)])


@pytest.mark.parametrize(
    "error",
    [
        _error(TensorType.F32, 1e-9),
        _error(TensorType.Q8_0, 0.05),
        _error(TensorType.Q4_K, 1.4),
        _error(TensorType.Q4_K, 0.07, largest=3.0),
        _error(TensorType.Q4_K, float("nan")),
        _error(TensorType.Q4_K, 0.07, largest=float("inf")),
    ],
    ids=["F32 at all", "Q8_0 far", "another tensor", "one weight", "no number", "infinite"],
)
def test_what_rounding_does_not_explain_names_the_tensor(error: TensorError) -> None:
    with pytest.raises(OutputDamagedError, match=r"tensor blk\.0\.x is not what it was made from"):
        require_explained([_error(TensorType.F32, 0.0), error])


def test_limits_grow_as_bits_shrink() -> None:
    limits = {file_type.name: kl_limit(file_type.name) for file_type in FILE_TYPES}

    assert limits["F16"] < limits["Q8_0"] < limits["Q6_K"] < limits["Q5_K_M"] < limits["Q4_0"]
    assert limits["Q4_0"] == limits["Q4_K_M"] == limits["IQ4_XS"]


def test_a_result_that_is_not_true_to_its_source_is_kept_but_no_success() -> None:
    assert exit_code(None) == 0
    assert exit_code(_GOOD) == 0
    assert exit_code(replace(_GOOD, runs=False)) == 6
    assert exit_code(Fidelity("Q4_K_M", _TENSORS)) == 0
