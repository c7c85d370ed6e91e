"""Checkpoints whose headers are honest and whose contents are not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.errors import (
    CheckpointDamagedError,
    NotACheckpointError,
    OutputExistsError,
    OutputNotWritableError,
    SourceNotFoundError,
    SourceUnreadableError,
    UnsupportedError,
)
from quant.pipeline import convert
from quant.recipe.overrides import parse_override
from tests.support.checkpoint_files import as_stored, read_safetensors, write_safetensors
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json, write_checkpoint


def test_nothing_at_the_path_is_not_found(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nowhere", tmp_path)

    assert isinstance(error, SourceNotFoundError)
    assert error.exit_code == 3


def test_a_path_the_system_cannot_follow_cannot_be_read(tmp_path: Path) -> None:
    assert isinstance(refusal(tmp_path / ("x" * 300), tmp_path), SourceUnreadableError)


def test_an_output_the_system_cannot_name_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)

    with pytest.raises(OutputNotWritableError, match="File name too long"):
        convert(source, tmp_path / ("x" * 300), file_type="Q8_0")


def test_an_empty_directory_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    error = refusal(tmp_path / "empty", tmp_path)

    assert isinstance(error, NotACheckpointError)
    assert "config.json" in error.message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_directory_without_a_needed_file_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / name).unlink()

    error = refusal(source, tmp_path)

    assert isinstance(error, NotACheckpointError)
    assert name in error.message


def test_another_file_as_source_is_no_checkpoint(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)

    assert isinstance(refusal(source / "config.json", tmp_path), NotACheckpointError)


def test_an_unknown_architecture_lists_the_known_ones(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    change_json(source / "config.json", architectures=["MysteryForCausalLM"])

    error = refusal(source, tmp_path)

    assert isinstance(error, UnsupportedError)
    assert "LlamaForCausalLM" in error.message
    assert "Qwen2ForCausalLM" in error.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": None}, "architectures"),
        ({"architectures": ["Qwen2ForCausalLM", "LlamaForCausalLM"]}, "architectures"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "96"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
        ({"num_attention_heads": 2**40}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "key-value heads"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"rms_norm_eps": 1e39}, "rms_norm_eps"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_theta": "10000"}, "rope_theta"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"rope_scaling": ["yarn"]}, "rope_scaling"),
        ({"rope_scaling": {"type": "yarn"}}, "lacks factor"),
        ({"rope_scaling": {"type": "moebius"}}, "moebius"),
        (
            {
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 2,
                    "original_max_position_embeddings": 1e30,
                }
            },
            "original_max_position_embeddings",
        ),
    ],
)
def test_an_impossible_config_is_an_error_that_names_the_key(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    change_json(source / "config.json", **changes)

    assert words in refusal(source, tmp_path).message


@pytest.mark.parametrize(
    "name", ["model.norm.weight", "lm_head.weight", "model.layers.3.self_attn.k_proj.bias"]
)
def test_a_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    del arrays[name]
    write_safetensors(source / "model.safetensors", arrays)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert f"lacks tensor {name!r}" in error.message


def test_a_tensor_that_no_rule_knows_is_named(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    arrays["model.layers.4.input_layernorm.weight"] = arrays["model.norm.weight"]
    write_safetensors(source / "model.safetensors", arrays)

    assert "'model.layers.4.input_layernorm.weight'" in refusal(source, tmp_path).message


def test_a_shape_that_the_config_does_not_promise_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    arrays["model.norm.weight"] = as_stored(np.ones((95,), np.float32), "F16")
    write_safetensors(source / "model.safetensors", arrays)

    assert "is [95], config.json makes it [96]" in refusal(source, tmp_path).message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("file_type", ["F32", "F16", "BF16", "Q8_0", "Q4_K_M"])
def test_a_weight_that_is_no_number_is_an_error_whatever_it_would_become(
    value: float, dtype: str, file_type: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    weights = np.zeros((1024, 96), np.float32)
    weights[700, 50] = value
    arrays["lm_head.weight"] = as_stored(weights, dtype)
    write_safetensors(source / "model.safetensors", arrays)

    error = refusal(source, tmp_path, file_type)

    assert error.message == "tensor output.weight: it holds NaN or infinity"


@pytest.mark.parametrize("file_type", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_K_M", "IQ4_XS"])
def test_a_weight_that_is_too_large_for_a_type_is_an_error_and_stays_where_it_fits(
    file_type: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    weights = np.zeros((1024, 96), np.float32)
    weights[700, 50] = 3.4028235e38
    arrays["lm_head.weight"] = as_stored(weights, "F32")
    write_safetensors(source / "model.safetensors", arrays)

    error = refusal(source, tmp_path, file_type)

    assert "tensor output.weight: its weights are too large for" in error.message
    kept = [parse_override("^output.weight=F32")]
    convert(source, tmp_path / "kept.gguf", file_type=file_type, overrides=kept)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_the_largest_number_of_a_format_is_no_infinity(dtype: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    largest = 65504.0 if dtype == "F16" else 3.3895314e38
    arrays["model.norm.weight"] = as_stored(np.full((96,), -largest, np.float32), dtype)
    write_safetensors(source / "model.safetensors", arrays)

    assert convert(source, tmp_path / "m.gguf", file_type="F32").output.is_file()


@pytest.mark.parametrize("changes", [{"factor": 0.0}, {"low_freq_factor": 4.0}])
def test_llama3_frequencies_that_divide_by_zero_are_refused(
    changes: dict[str, float], tmp_path: Path
) -> None:
    source = write_checkpoint("llama3", tmp_path)
    config = json.loads((source / "config.json").read_text())
    change_json(source / "config.json", rope_scaling=config["rope_scaling"] | changes)

    assert "llama3" in refusal(source, tmp_path).message


def test_damaged_advice_does_not_stop_a_conversion(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / "generation_config.json").write_text("{broken")
    (source / "README.md").write_text("---\n: [broken\n---\n")

    result = convert(source, tmp_path / "model.gguf", file_type="Q8_0")

    assert result.output.is_file()


def test_a_model_card_that_unfolds_without_end_is_left_out(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40)]
    lines = ["---", "l0: &l0 [lol]", *levels, "name: *l39", "tags: *l39", "datasets: *l39", "---"]
    (source / "README.md").write_text("\n".join(lines))

    convert(source, tmp_path / "model.gguf", file_type="Q8_0")

    assert (tmp_path / "model.gguf").stat().st_size < 1024**2


def test_an_existing_output_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    output = tmp_path / "model.gguf"
    output.write_text("precious")

    with pytest.raises(OutputExistsError):
        convert(source, output, file_type="Q8_0")

    assert output.read_text() == "precious"


def test_a_failed_overwrite_keeps_the_old_file(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    output = tmp_path / "model.gguf"
    output.write_text("precious")
    shutil.rmtree(source)

    with pytest.raises(SourceNotFoundError):
        convert(source, output, file_type="Q8_0", overwrite=True)

    assert output.read_text() == "precious"
