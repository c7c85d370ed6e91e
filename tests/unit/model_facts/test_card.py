from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from localr1.errors import ModelFileError
from localr1.model_facts.card import ModelCard, Unplanned
from quant.gguf.header import read_header
from tests.support.gguf_dense import DenseShape, key_values, write_dense
from tests.support.gguf_writer import F32, Value, write_model

_SHAPE = DenseShape()


def _card(path: Path) -> ModelCard:
    return ModelCard.from_header(read_header(path))


@pytest.fixture
def with_values(tmp_path: Path) -> Callable[..., ModelCard]:
    """A card from the usual key-values with some changed; None takes one away."""

    def make(shape: DenseShape = _SHAPE, **changes: Value | None) -> ModelCard:
        values = {**key_values(shape), **changes}
        kept = {key: value for key, value in values.items() if value is not None}
        return _card(write_model(tmp_path / "m.gguf", kept, {"output_norm.weight": ((256,), F32)}))

    return make


def test_card_repeats_the_shape(tmp_path: Path) -> None:
    card = _card(write_dense(tmp_path / "m.gguf", _SHAPE))

    assert (card.arch, card.quant, card.n_layer, card.n_embd) == ("qwen2", "Q8_0", 3, 256)
    assert card.n_head == (4, 4, 4)
    assert card.n_head_kv == (2, 2, 2)
    assert card.head_dim_k == card.head_dim_v == (64, 64, 64)
    assert card.n_ff == (768, 768, 768)
    assert (card.n_vocab, card.n_ctx_train) == (1024, 8192)
    assert (card.bos_id, card.eos_id, card.tokenizer_model) == (1, 2, "gpt2")
    assert not card.is_tied
    assert card.unplanned == ()


def test_parameters_are_counted_from_the_tensors(tmp_path: Path) -> None:
    card = _card(write_dense(tmp_path / "m.gguf", _SHAPE))

    per_layer = 2 * 256 + 256 * (256 + 128 + 128) + 256 + 256 * 256 + 128 * 2 + 3 * 256 * 768
    assert card.n_params == 3 * per_layer + 2 * 256 * 1024 + 256


def test_a_truncated_file_keeps_the_size_of_the_whole(tmp_path: Path) -> None:
    path = write_dense(tmp_path / "m.gguf", _SHAPE)
    whole_bytes = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole_bytes // 2)

    card = ModelCard.from_header(read_header(path, allow_truncated=True))

    assert card.file_bytes == whole_bytes


def test_tied_embeddings_are_seen(tmp_path: Path) -> None:
    assert _card(write_dense(tmp_path / "m.gguf", replace(_SHAPE, is_tied=True))).is_tied


def test_heads_may_differ_per_layer(with_values: Callable[..., ModelCard]) -> None:
    card = with_values(**{"qwen2.attention.head_count_kv": [4, 0, 1]})

    assert card.n_head_kv == (4, 0, 1)


@pytest.mark.parametrize("name", ["head_count", "head_count_kv"])
def test_a_model_that_attends_with_no_heads_is_refused(name: str, tmp_path: Path) -> None:
    values = {**key_values(_SHAPE), f"qwen2.attention.{name}": 0}
    path = write_model(tmp_path / "m.gguf", values, {"blk.0.attn_q.weight": ((256, 256), F32)})

    with pytest.raises(ModelFileError, match=f"qwen2.attention.{name} is 0, yet it has attention"):
        _card(path)


def test_a_model_without_attention_needs_no_heads(with_values: Callable[..., ModelCard]) -> None:
    card = with_values(**{"qwen2.attention.head_count": 0, "qwen2.attention.head_count_kv": None})

    assert card.n_head_kv == (0, 0, 0)


def test_head_size_defaults_to_an_equal_share(with_values: Callable[..., ModelCard]) -> None:
    card = with_values(**{"qwen2.attention.key_length": None, "qwen2.attention.value_length": None})

    assert card.head_dim_k == card.head_dim_v == (64, 64, 64)


def test_the_quantisation_falls_back_to_the_commonest_type(
    with_values: Callable[..., ModelCard],
) -> None:
    assert with_values(**{"general.file_type": None}).quant == "F32"


def test_template_and_sampling_defaults_are_taken_over(
    with_values: Callable[..., ModelCard],
) -> None:
    card = with_values(
        **{
            "tokenizer.chat_template": "{{ messages }}",
            "general.sampling.temp": 0.5,
            "general.sampling.top_k": 20,
        }
    )

    assert card.chat_template == "{{ messages }}"
    assert card.sampling == {"temp": 0.5, "top_k": 20.0}


def test_no_template_is_none(with_values: Callable[..., ModelCard]) -> None:
    assert with_values().chat_template is None


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("gemma2", [True, False] * 4),
        ("gemma3", [True, True, True, True, True, False, True, True]),
        ("smallthinker", [False, True, True, True] * 2),
        ("qwen2", [False] * 8),
        ("phi3", [False] * 8),
    ],
)
def test_sliding_windows_follow_the_architecture(
    with_values: Callable[..., ModelCard], arch: str, expected: list[bool]
) -> None:
    card = with_values(DenseShape(arch=arch, n_layer=8, n_swa=512))

    assert card.is_swa == tuple(expected)
    assert card.n_swa == (512 if any(expected) else 0)


def test_a_pattern_in_the_file_wins(with_values: Callable[..., ModelCard]) -> None:
    card = with_values(
        DenseShape(arch="gemma3", n_layer=4, n_swa=512),
        **{"gemma3.attention.sliding_window_pattern": [0, 1, 0, 1]},
    )

    assert card.is_swa == (False, True, False, True)


def test_latent_attention_keeps_no_values(with_values: Callable[..., ModelCard]) -> None:
    card = with_values(
        DenseShape(arch="deepseek2", n_head=16, n_head_kv=1, head_dim=576),
        **{"deepseek2.attention.key_length_mla": 192, "deepseek2.attention.kv_lora_rank": 512},
    )

    assert card.head_dim_k == (576, 576, 576)
    assert card.head_dim_v == (0, 0, 0)
    assert card.unplanned == ()


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("attention.indexer.head_count", 4, Unplanned.INDEXER),
        ("attention.causal", False, Unplanned.ENCODER),
    ],
)
def test_what_cannot_be_planned_is_named(
    with_values: Callable[..., ModelCard], key: str, value: Value, what: Unplanned
) -> None:
    assert with_values(**{f"qwen2.{key}": value}).unplanned == (what,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.architecture": None}, "general.architecture is missing"),
        ({"general.architecture": 7}, "general.architecture is no str"),
        ({"qwen2.block_count": None}, "block_count is missing"),
        ({"qwen2.block_count": 0}, "block_count is 0"),
        ({"qwen2.block_count": 513}, "block_count is 513"),
        ({"qwen2.block_count": "3"}, "block_count is '3'"),
        ({"qwen2.embedding_length": 2**31}, "embedding_length"),
        ({"qwen2.attention.head_count_kv": [2]}, "1 values for 3 layers"),
        ({"qwen2.attention.head_count_kv": [2, -1, 2]}, "the value -1"),
        ({"qwen2.context_length": 0}, "context_length is 0"),
        ({"qwen2.expert_used_count": 4}, "expert_used_count is 4"),
        ({"qwen2.expert_count": 4000}, "expert_count is 4000"),
        ({"qwen2.attention.layer_norm_rms_epsilon": -1.0}, "epsilon is -1.0"),
        ({"qwen2.attention.layer_norm_rms_epsilon": float("nan")}, "epsilon is nan"),
        ({"tokenizer.ggml.tokens": None}, "vocab_size is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_impossible_facts_are_refused(
    with_values: Callable[..., ModelCard], changes: dict[str, Value], reason: str
) -> None:
    with pytest.raises(ModelFileError, match=reason):
        with_values(**changes)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "vocab.gguf", key_values(_SHAPE), {})

    with pytest.raises(ModelFileError, match="no tensors"):
        _card(path)


def test_layers_beyond_those_that_are_counted_are_refused(tmp_path: Path) -> None:
    values = {**key_values(_SHAPE), "qwen2.block_count": 2}
    path = write_model(tmp_path / "m.gguf", values, {"blk.2.attn_q.weight": ((256, 256), F32)})

    with pytest.raises(ModelFileError, match="block_count is 2"):
        _card(path)
