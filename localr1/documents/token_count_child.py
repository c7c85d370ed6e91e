"""Owns the child process that counts tokens with a model's own tokenizer.

llama.cpp reads the vocabulary of a GGUF, the checkpoint's own library that of a checkpoint. Both
are native code that a damaged file or an endless text may take down; then there is an estimate.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from localr1.documents.vocabulary_file import vocabulary_file
from localr1.verify.frames import TokenizerReport
from localr1.worker.channel import Channel
from localr1.worker.childside import enter, say_ready
from localr1.worker.protocol import Message

_Tokenize = Callable[[str], list[int]]


class CounterLoop:
    """Counts for one model."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tokenize: _Tokenize | None = None

    def run(self) -> None:
        """Say READY and answer until told to close."""
        say_ready(self._channel, {})
        while (message := self._channel.receive()) is not None and message["type"] != "close":
            self._channel.send(self._answer(message))

    def _answer(self, message: Message) -> Message:
        try:
            if self._tokenize is None:
                self._tokenize = _tokenizer_of(Path(message["tokenizer"]))
            return {"type": "counted", "n_tokens": len(self._tokenize(message["text"]))}
        except Exception as exc:  # noqa: BLE001 - the child's edge; libraries raise what they like
            return {"type": "refused", "reason": f"{exc}"[:300] or type(exc).__name__}


def _tokenizer_of(path: Path) -> _Tokenize:
    if path.is_dir():
        from localr1.verify.tokenizer_check import own_tokenizer

        own = own_tokenizer(path)
        if isinstance(own, TokenizerReport):
            raise ValueError(own.skipped)
        return own.encode
    from backends import llama

    native = llama.bind()
    native.on_log(_log)
    with vocabulary_file(path) as file:
        vocabulary = native.load_vocabulary(str(file))
    # as text from users is read: without special tokens
    return lambda text: vocabulary.tokenize(text, parse_special=False)


def _log(text: str) -> None:
    os.write(2, text.encode("utf-8", errors="replace"))


def main() -> None:
    """Serve until the parent is gone."""
    channel = enter(sys.argv)
    with contextlib.suppress(EOFError):
        CounterLoop(channel).run()


if __name__ == "__main__":
    main()
