"""Owns the verifying child as the converter sees it: a few questions, typed answers.

Errors are those of `localr1.errors`: EngineStartError, EngineDiedError, EngineRefusedError.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localr1.verify.frames import Prediction, TensorPlace, TokenizerReport
from localr1.worker.dialogue import Dialogue
from localr1.worker.process import ChildProcess

_STALL_S = 60.0
_SLOWEST_DISK_BYTES_PER_S = 50e6


class Verifier:
    """One child process, alive inside a `with` block."""

    def __enter__(self) -> Self:
        self._child = ChildProcess.start("localr1.verify.child", name="verifier")
        self._dialogue = Dialogue(self._child)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            # it may be in the middle of a minute's work that nobody wants any more
            self._child.kill()
        self._child.close()

    def compare_tokenizers(
        self, gguf: Path, checkpoint: Path, *, with_marks: bool
    ) -> TokenizerReport:
        """The vocabulary of a GGUF against the checkpoint's own tokenizer.

        Without marks, texts with accents or vowel signs of their own are passed over.
        """
        body = {"gguf": str(gguf), "checkpoint": str(checkpoint), "with_marks": with_marks}
        report: TokenizerReport = self._ask("tokenizers", body, TokenizerReport, _STALL_S)
        return report

    def tensors(self, gguf: Path) -> tuple[TensorPlace, ...]:
        """The tensors of a file, as llama.cpp reads them."""
        places: tuple[TensorPlace, ...] = self._ask(
            "tensors", str(gguf), tuple[TensorPlace, ...], _STALL_S
        )
        return places

    def run(self, result: Path) -> None:
        """Load the result and let it read a few tokens. Raises: EngineRefusedError if it cannot."""
        self._ask("run", str(result), bool, _load_stall_s(result))

    def compare_predictions(self, source: Path, on_progress: Callable[[float], None]) -> Prediction:
        """The source against the result that runs; reports shares from 0 to 1.

        Raises: EngineRefusedError if the source does not run.
        """
        prediction: Prediction = self._ask(
            "predictions", str(source), Prediction, _load_stall_s(source), on_progress
        )
        return prediction

    def _ask(
        self,
        question: str,
        body: Any,
        answer: Any,
        stall_s: float,
        on_progress: Callable[[float], None] | None = None,
    ) -> Any:
        with self._dialogue.request(question, body, stall_s=stall_s) as reply:
            while (message := reply.wait())["type"] == "progress":
                if on_progress is not None:
                    on_progress(reply.decode(float, message.get("share")))
            return reply.complete(answer, message.get("body"))


def _load_stall_s(path: Path) -> float:
    return _STALL_S + path.stat().st_size / _SLOWEST_DISK_BYTES_PER_S
