"""Owns a loaded model and its context: tokens, memory and evaluation through llama.cpp's C API.

Takes the bound library as an argument; `llama` alone imports it. Thin on purpose: what is kept
in the KV cache, and why, is decided above.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Mapping, Sequence
from typing import Any

from backends.errors import LlamaRefusedError
from backends.input_sums import ColumnSums
from backends.llama_vocabulary import tokenize
from backends.native import DecodeStatus, NativeSampler, SamplerSettings
from backends.observer import Observer

_ATTR_CONTROL = 1 << 3  # enum llama_token_attr in include/llama.h
_ATTR_USER_DEFINED = 1 << 4
_DECODE_ABORTED = 2  # llama_decode's return value


class LlamaModel:
    """`native.NativeModel` on the C library `c`. Owns `model` and `context`."""

    def __init__(self, c: Any, model: Any, context: Any, observer: Observer | None = None) -> None:
        """`observer` is the one that the context reports to."""
        self._c = c
        self._model = model
        self._context = context
        self._observer = observer
        self._vocab = c.llama_model_get_vocab(model)
        self._memory = c.llama_get_memory(context)
        self._piece_buffer = ctypes.create_string_buffer(256)
        self.n_ctx = int(c.llama_n_ctx(context))
        self.n_batch = int(c.llama_n_ubatch(context))
        self.n_swa = int(c.llama_model_n_swa(model))
        self.n_vocab = int(c.llama_vocab_n_tokens(self._vocab))
        self.bos_id = int(c.llama_vocab_bos(self._vocab))
        self.eos_id = int(c.llama_vocab_eos(self._vocab))
        self.adds_bos = bool(c.llama_vocab_get_add_bos(self._vocab))
        self._tokens = (c.llama_token * self.n_batch)()

    def special_tokens(self) -> dict[str, int]:
        """Text to id of control and user-defined tokens."""
        wanted = _ATTR_CONTROL | _ATTR_USER_DEFINED
        get_attr, vocab = self._c.llama_vocab_get_attr, self._vocab
        found = [token for token in range(self.n_vocab) if get_attr(vocab, token) & wanted]
        return {self.piece(token).decode("utf-8", errors="replace"): token for token in found}

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text, without BOS."""
        return tokenize(self._c, self._vocab, text, parse_special=parse_special)

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; special tokens too."""
        buffer = self._piece_buffer
        count = self._c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, True)
        if count < 0:
            self._piece_buffer = ctypes.create_string_buffer(-count)
            return self.piece(token)
        return buffer.raw[:count]

    def ends_generation(self, token: int) -> bool:
        """Whether the token ends a reply."""
        return bool(self._c.llama_vocab_is_eog(self._vocab, token))

    def decode(self, tokens: Sequence[int]) -> DecodeStatus:
        """Evaluate up to `n_batch` tokens after those in memory; logits for the last one."""
        count = len(tokens)
        self._tokens[:count] = tokens
        status = self._c.llama_decode(
            self._context, self._c.llama_batch_get_one(self._tokens, count)
        )
        if status == 0:
            return DecodeStatus.DONE
        if status == _DECODE_ABORTED:
            return DecodeStatus.ABORTED
        raise LlamaRefusedError(f"llama.cpp could not evaluate {count} tokens (code {status})")

    def evaluate(self, tokens: Sequence[int]) -> memoryview:
        """Evaluate up to `n_batch` tokens after those in memory; logits after each of them.

        Shape: len(tokens) * n_vocab float32, row after row; good until the next evaluation.
        Raises: LlamaRefusedError when llama.cpp cannot.
        """
        count = len(tokens)
        self._tokens[:count] = tokens
        batch = self._c.llama_batch_get_one(self._tokens, count)
        wanted = (ctypes.c_int8 * count)(*[1] * count)
        batch.logits = wanted
        status = self._c.llama_decode(self._context, batch)
        if status != 0:
            raise LlamaRefusedError(f"llama.cpp could not evaluate {count} tokens (code {status})")
        logits = self._c.llama_get_logits(self._context)
        return memoryview(
            (ctypes.c_float * (count * self.n_vocab)).from_address(
                ctypes.addressof(logits.contents)
            )
        )

    def observe(self, tokens: Sequence[int]) -> None:
        """Evaluate a text from its beginning, and add up what goes into each weight.

        Raises: LlamaRefusedError when llama.cpp cannot, or the model was not loaded for it.
        """
        observer = self._required_observer()
        self.clear()
        observer.is_on = True
        try:
            for start in range(0, len(tokens), self.n_batch):
                self.evaluate(tokens[start : start + self.n_batch])
        finally:
            observer.is_on = False
            self.clear()
        observer.raise_failure()

    def input_sums(self) -> Mapping[str, ColumnSums]:
        """What `observe` added up, by the name of the weight."""
        return self._required_observer().sums.weights

    def _required_observer(self) -> Observer:
        if self._observer is None:
            raise LlamaRefusedError("the model was not loaded to be observed")
        return self._observer

    def truncate(self, n_keep: int) -> bool:
        """Forget everything from position `n_keep` on. False if this memory cannot."""
        return bool(self._c.llama_memory_seq_rm(self._memory, 0, n_keep, -1))

    def first_position(self) -> int:
        """The oldest position still in memory, -1 when empty."""
        return int(self._c.llama_memory_seq_pos_min(self._memory, 0))

    def clear(self) -> None:
        """Forget everything."""
        self._c.llama_memory_clear(self._memory, True)

    def sampler(self, settings: SamplerSettings, prompt: Sequence[int]) -> NativeSampler:
        """A sampler whose penalties see the end of the prompt."""
        stages = _stages(self._c, settings, self.n_vocab)
        sampler = LlamaSampler(self._c, self._context, stages)
        if settings.repeat_last_n > 0:
            sampler.accept(prompt[-settings.repeat_last_n :])
        return sampler

    def close(self) -> None:
        """Free context and model."""
        self._c.llama_free(self._context)
        self._c.llama_model_free(self._model)


class LlamaSampler:
    """A chain: penalties, top-k, top-p, min-p, temperature, draw. Neutral stages are left out."""

    def __init__(self, c: Any, context: Any, stages: Sequence[Any]) -> None:
        self._c = c
        self._context = context
        self._chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for stage in stages:
            c.llama_sampler_chain_add(self._chain, stage)

    def accept(self, tokens: Sequence[int]) -> None:
        """Let the penalties see tokens that were not sampled here."""
        for token in tokens:
            self._c.llama_sampler_accept(self._chain, token)

    def sample(self) -> int:
        """Choose a token from the logits of the last evaluated one, and remember it."""
        return int(self._c.llama_sampler_sample(self._chain, self._context, -1))

    def close(self) -> None:
        """Free the chain."""
        self._c.llama_sampler_free(self._chain)


def _stages(c: Any, settings: SamplerSettings, n_vocab: int) -> list[Any]:
    stages = []
    penalties = (settings.repeat_penalty, settings.frequency_penalty, settings.presence_penalty)
    if penalties != (1.0, 0.0, 0.0) and settings.repeat_last_n != 0:
        stages.append(c.llama_sampler_init_penalties(n_vocab, settings.repeat_last_n, *penalties))
    if settings.temperature <= 0:
        return [*stages, c.llama_sampler_init_greedy()]
    if settings.top_k > 0:
        stages.append(c.llama_sampler_init_top_k(settings.top_k))
    if settings.top_p < 1:
        stages.append(c.llama_sampler_init_top_p(settings.top_p, 1))
    if settings.min_p > 0:
        stages.append(c.llama_sampler_init_min_p(settings.min_p, 1))
    stages.append(c.llama_sampler_init_temp(settings.temperature))
    seed = random.getrandbits(32) if settings.seed is None else settings.seed & 0xFFFFFFFF
    return [*stages, c.llama_sampler_init_dist(seed)]
