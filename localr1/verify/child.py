"""Owns the verifying process: `python -P -m localr1.verify.child`. It may die; the file stays.

Answers one request after the other: compare tokenizers, list the tensors of a file, run it, compare
its predictions with the source's. llama.cpp and the checkpoint's tokenizer library live here:
either can end its process. On the processor only, so that the numbers do not depend on a driver.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from backends import llama
from backends.cpu import cpu_parameters
from backends.errors import BackendError, LlamaRefusedError
from backends.llama import Llama
from backends.llama_model import LlamaModel
from backends.machine import Machine, host_facts
from backends.parameters import LoadRequest
from localr1.verify.evaluation import compare_predictions, require_runs
from localr1.verify.frames import Prediction, TensorPlace, TokenizerReport
from localr1.verify.tokenizer_check import compare, own_tokenizer
from localr1.worker.channel import Channel
from localr1.worker.childside import enter, say_ready
from localr1.worker.death import telling_line
from localr1.worker.interrupt import Interrupt
from localr1.worker.protocol import Message, to_json

_N_CTX = 512
_N_BATCH = 256  # the logits of a batch over a vocabulary of 150,000 take 154 MB
_ONE_THREAD_BYTES = 64e6  # several would wait for each other longer than such a model takes


class VerifierLoop:
    """Answers requests from one channel with one llama.cpp."""

    def __init__(self, channel: Channel, native: Llama) -> None:
        self._channel = channel
        self._native = native
        self._log: list[str] = []
        self._result: LlamaModel | None = None
        self._never = Interrupt()  # kept: native code reads its flag as long as a model lives
        native.on_log(self._note_log)

    def run(self) -> None:
        """Say READY and answer until told to close."""
        say_ready(self._channel, {})
        while (message := self._channel.receive()) is not None and message["type"] != "close":
            # a cancel means that the parent gave up; it ends us when it likes
            if message["type"] != "cancel":
                self._answer(message)

    def _answer(self, message: Message) -> None:
        number = int(message["request"])
        self._log.clear()
        try:
            body = self._reply_to(message["type"], message["body"], number)
        except BackendError as exc:
            line = telling_line("".join(self._log))
            reason = f"{exc.message}: {line}" if line else exc.message
            self._send("refused", number, message=reason, hint=exc.hint)
        except EOFError:
            raise
        except Exception as exc:  # noqa: BLE001 - the child's edge; libraries raise what they like
            self._send("refused", number, message=f"{type(exc).__name__}: {exc}"[:500])
        else:
            self._send("done", number, body=body)

    def _reply_to(self, kind: str, body: Any, number: int) -> Any:
        match kind:
            case "tokenizers":
                return to_json(self._compare_tokenizers(body))
            case "tensors":
                return to_json([_place(entry) for entry in self._native.tensor_table(body)])
            case "run":
                return self._run_result(body)
            case _:
                return to_json(self._compare_predictions(body, number))

    def _compare_tokenizers(self, body: Any) -> TokenizerReport:
        own = own_tokenizer(Path(body["checkpoint"]))
        if isinstance(own, TokenizerReport):
            return own
        if not body["with_marks"]:
            own = own.without_marks()
        vocabulary = self._native.load_vocabulary(body["gguf"])
        return compare(own, vocabulary.tokenize)

    def _run_result(self, path: str) -> bool:
        self._result = self._load(path)
        require_runs(self._result)
        return True

    def _compare_predictions(self, source: str, number: int) -> Prediction:
        if self._result is None:
            raise LlamaRefusedError("there is no result to compare with")

        def on_progress(share: float) -> None:
            self._send("progress", number, share=share)

        return compare_predictions(self._load(source), self._result, on_progress)

    def _load(self, path: str) -> LlamaModel:
        request = LoadRequest(
            model_path=path,
            n_ctx=_N_CTX,
            n_layer=0,
            n_batch=_N_BATCH,
            n_ubatch=_N_BATCH,
            n_threads=1 if Path(path).stat().st_size < _ONE_THREAD_BYTES else None,
        )
        parameters = cpu_parameters(request, host_facts(Machine()))
        return self._native.load(parameters, lambda _: True, self._never)

    def _send(self, type_: str, number: int, **fields: Any) -> None:
        self._channel.send({"type": type_, "request": number, **fields})

    def _note_log(self, text: str) -> None:
        os.write(2, text.encode("utf-8", errors="replace"))
        self._log.append(text)


def _place(entry: Any) -> TensorPlace:
    return TensorPlace(
        name=entry.name, type_id=entry.type_id, offset=entry.offset, n_bytes=entry.n_bytes
    )


def main() -> None:
    """Serve until the parent is gone."""
    channel = enter(sys.argv)
    try:
        native = llama.bind()
    except BackendError as exc:
        channel.send({"type": "refused", "message": exc.message, "hint": exc.hint})
        return
    with contextlib.suppress(EOFError):
        VerifierLoop(channel, native).run()


if __name__ == "__main__":
    main()
