"""Owns one conversation with a loaded model: what its KV cache holds, and the decode loop.

The list of tokens in the cache is kept beside it, so that the next prompt reads only what is
new. Whatever interrupts an evaluation, list and cache agree afterwards. Runs in the child, on
the seam of `backends.native`, so that a fake can take llama.cpp's place.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator, Sequence

from backends.native import AbortFlag, DecodeStatus, NativeModel, SamplerSettings
from localr1.worker.frames import (
    DeviceMemory,
    GenerationEnd,
    GenerationFrame,
    PrefillProgress,
    StopReason,
    TokenPiece,
)


class Generator:
    """Replies of one model, one at a time."""

    def __init__(
        self,
        model: NativeModel,
        abort: AbortFlag,
        *,
        resident_bytes: Callable[[], int],
        devices: Callable[[], tuple[DeviceMemory, ...]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._abort = abort
        self._resident_bytes = resident_bytes
        self._devices = devices
        self._clock = clock
        self._cached: list[int] = []

    def warm_up(self) -> None:
        """Evaluate one token and forget it: some files load and die at the first evaluation."""
        self._model.decode([max(self._model.bos_id, 0)])
        self.forget_all()

    def generate(
        self, prompt: Sequence[int], sampling: SamplerSettings, max_tokens: int | None
    ) -> Iterator[GenerationFrame]:
        """One reply. `prompt` has at least one token and fits the context."""
        started_s = self._clock()
        n_cached = self._reuse_prefix(prompt)
        yield from self._prefill(prompt, n_cached)
        prefilled_s = self._clock()
        text = _Utf8()
        n_generated = 0
        reason: StopReason = "cancelled"
        sampler = self._model.sampler(sampling, prompt)
        try:
            while not self._abort.is_set:
                if n_generated == max_tokens:
                    reason = "length"
                    break
                token = sampler.sample()
                sampled_s = self._clock()
                if n_generated == 0:
                    # the first sample waits for a device that still computes the prompt
                    prefilled_s = sampled_s
                if self._model.ends_generation(token):
                    reason = "eog"
                    break
                n_generated += 1
                piece = text.feed(self._model.piece(token))
                yield TokenPiece(id=token, text=piece, at_s=sampled_s - prefilled_s)
                if len(self._cached) >= self._model.n_ctx:
                    reason = "context"
                    break
                if n_generated != max_tokens and not self._evaluate([token]):
                    break
        finally:
            sampler.close()
        yield GenerationEnd(
            reason=reason,
            text=text.finish(),
            n_prompt=len(prompt),
            n_cached=n_cached,
            n_generated=n_generated,
            prefill_s=prefilled_s - started_s,
            decode_s=self._clock() - prefilled_s,
            n_ctx_used=len(self._cached),
            resident_bytes=self._resident_bytes(),
            devices=self._devices(),
        )

    def _prefill(self, prompt: Sequence[int], n_cached: int) -> Iterator[PrefillProgress]:
        """Read the rest of the prompt; stops early, without a word, when interrupted."""
        n_total = len(prompt)
        yield PrefillProgress(n_done=n_cached, n_total=n_total, n_cached=n_cached)
        while (n_done := len(self._cached)) < n_total and not self._abort.is_set:
            if not self._evaluate(prompt[n_done : n_done + self._model.n_batch]):
                return
            yield PrefillProgress(n_done=len(self._cached), n_total=n_total, n_cached=n_cached)

    def _reuse_prefix(self, prompt: Sequence[int]) -> int:
        """Cut the cache down to what it has in common with the prompt; returns its length.

        At least one token of the prompt is left to evaluate, or there would be no logits.
        """
        n_keep = _common_prefix(self._cached, prompt[:-1])
        if n_keep < len(self._cached):
            # a window that has slid on, or a recurrent state, cannot go back: read it all again
            if n_keep > 0 and self._can_go_back_to(n_keep) and self._model.truncate(n_keep):
                del self._cached[n_keep:]
            else:
                self.forget_all()
        return len(self._cached)

    def _can_go_back_to(self, position: int) -> bool:
        # as llama.cpp's server decides it (tools/server/server-context.cpp, pos_min_thold)
        oldest_needed = max(0, position - max(self._model.n_swa, 1))
        return self._model.first_position() <= oldest_needed

    def _evaluate(self, tokens: Sequence[int]) -> bool:
        """Put tokens into the cache; False if interrupted, with the cache as it was before."""
        try:
            status = self._model.decode(tokens)
        except BaseException:
            self.forget_all()
            raise
        if status is DecodeStatus.DONE:
            self._cached += tokens
            return True
        if not self._model.truncate(len(self._cached)):
            self.forget_all()
        return False

    def forget_all(self) -> None:
        """Empty the cache: somebody else wants the model."""
        self._model.clear()
        self._cached.clear()


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next(
        (n for n, (a, b) in enumerate(pairs) if a != b),
        min(len(left), len(right)),
    )


class _Utf8:
    """Bytes of tokens in, whole characters out; invalid bytes become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)
