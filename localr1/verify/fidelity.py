"""Owns what is known about a result after it was checked, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localr1.verify.frames import Prediction
from localr1.verify.limits import kl_limit
from localr1.verify.tensor_errors import TensorError

Verdict = Literal["pass", "fail", "unclear", "not compared"]


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """The errors of all tensors in a few numbers; relative, see `TensorError`."""

    worst: str
    """Name of the tensor with the largest error."""
    max_error: float
    mean_error: float
    """Over all weights."""
    checked_share: float
    """Of all weights."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How true a result is to its source."""

    file_type: str
    tensors: TensorSummary | None
    """None if the source was not there any more."""
    prediction: Prediction | None = None
    reason: str = ""
    """Why predictions were not compared."""
    runs: bool = True
    """False if llama.cpp did not get the result to run."""

    @property
    def verdict(self) -> Verdict:
        """Pass or fail where that can be told."""
        if not self.runs:
            return "fail"
        if self.tensors is not None and self.tensors.max_error == 0 and not self.prediction:
            return "pass"
        if self.prediction is None:
            return "not compared"
        if self.prediction.kl_divergence <= kl_limit(self.file_type):
            return "pass"
        # a model that would do better by guessing is no judge of a text
        knows_nothing = self.prediction.source_perplexity >= self.prediction.n_vocab
        return "unclear" if knows_nothing else "fail"

    def line(self) -> str:
        """Everything in one line for people."""
        parts = [f"fidelity: {_WORDS[self.verdict]}"]
        if (seen := self.prediction) is not None:
            parts.append(
                f"KL divergence {seen.kl_divergence:.4f} (limit {kl_limit(self.file_type)}), "
                f"same first choice {seen.top1_agreement:.1%}, "
                f"perplexity x{seen.perplexity_ratio:.3f} over {seen.n_tokens} tokens"
            )
        if self.reason:
            parts.append(self.reason)
        if (tensors := self.tensors) is not None:
            parts.append(
                f"tensor error {tensors.mean_error:.2%}, at most {tensors.max_error:.2%}, "
                f"{tensors.checked_share:.0%} of the weights checked"
            )
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For the `result` event."""
        tensors, seen = self.tensors, self.prediction
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "kl_limit": kl_limit(self.file_type),
            "n_tokens": seen.n_tokens if seen else 0,
            "source_perplexity": seen.source_perplexity if seen else None,
            "checked_share": tensors.checked_share if tensors else 0.0,
            "worst_tensor": tensors.worst if tensors else None,
            **dict.fromkeys(MEASURES),
            **self.measures(),
        }

    def measures(self) -> dict[str, float]:
        """What was measured, by the names it has in the file's metadata."""
        measured: dict[str, float] = {}
        if self.tensors is not None:
            measured["tensor_error_max"] = self.tensors.max_error
            measured["tensor_error_mean"] = self.tensors.mean_error
        if self.prediction is not None:
            measured["kl_divergence"] = self.prediction.kl_divergence
            measured["top1_agreement"] = self.prediction.top1_agreement
            measured["perplexity_ratio"] = self.prediction.perplexity_ratio
        return measured


MEASURES = (
    "tensor_error_max",
    "tensor_error_mean",
    "kl_divergence",
    "top1_agreement",
    "perplexity_ratio",
)
"""Everything that `measures` may name."""

_WORDS: Mapping[Verdict, str] = {
    "pass": "pass",
    "fail": "FAIL",
    "unclear": "unclear, the source itself predicts the test text worse than a guess",
    "not compared": "predictions not compared",
}


def summary(errors: Sequence[TensorError]) -> TensorSummary:
    """The errors of a whole file; at least one."""
    n_weights = sum(error.n_weights for error in errors)
    worst = max(errors, key=lambda error: error.rms)
    return TensorSummary(
        worst=worst.name,
        max_error=worst.rms,
        mean_error=sum(error.rms * error.n_weights for error in errors) / n_weights,
        checked_share=sum(error.n_checked for error in errors) / n_weights,
    )
