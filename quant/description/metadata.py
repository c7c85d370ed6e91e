"""Owns the metadata of the output: general.*, and what the hyperparameters say.

Same keys, values and order as llama.cpp's converter (gguf-py/gguf/metadata.py, set_gguf_meta_model;
conversion/base.py, set_gguf_parameters). Where we differ on purpose: docs/convert.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant.description.model_card import first_of, origins_of, read_model_card, texts_of
from quant.description.model_name import NameParts, split_model_id, title_of
from quant.description.parameter_count import ParameterCount
from quant.errors import QuantError, UnsupportedError
from quant.families.architecture import Architecture
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues
from quant.gguf.types import QUANTIZATION_VERSION, FileType
from quant.source.checkpoint import Checkpoint

_SAMPLING: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("sequence", "string", ("sequence",)),
    ("top_k", "int", ("top_k",)),
    ("top_p", "float", ("top_p",)),
    ("min_p", "float", ("min_p",)),
    ("xtc_probability", "float", ("xtc_probability",)),
    ("xtc_threshold", "float", ("xtc_threshold",)),
    ("temp", "float", ("temperature",)),
    ("penalty_last_n", "int", ("penalty_last_n",)),
    ("penalty_repeat", "float", ("penalty_repeat", "repetition_penalty")),
    ("mirostat", "int", ("mirostat",)),
    ("mirostat_tau", "float", ("mirostat_tau",)),
    ("mirostat_eta", "float", ("mirostat_eta",)),
)
"""Name under general.sampling, value type, keys of generation_config.json."""

_GATING = {"softmax": 1, "sigmoid": 2}
"""How llama.cpp numbers what turns a router's numbers into shares (src/llama-hparams.h)."""

_ORIGIN_FIELDS = (
    "name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url",
)  # fmt: skip


def add_general(key_values: KeyValues, checkpoint: Checkpoint, count: ParameterCount) -> None:
    """What the model is called, where it comes from, how it wants to be sampled."""
    n_params = count.total
    key_values.string("general.type", "model")
    _add_sampling(key_values, checkpoint)
    card = read_model_card(checkpoint.directory)
    from_config = _named_by_config(checkpoint.config, n_params)
    # a file name need not be Unicode, metadata must
    directory_name = checkpoint.directory.name.encode(errors="replace").decode()
    from_directory = split_model_id(directory_name, n_params)

    def guess(part: str) -> str | None:
        value = getattr(from_config, part) or getattr(from_directory, part)
        return title_of(value) if value and part in {"name", "organization"} else value

    def add(key: str, *card_keys: str, otherwise: str | None = None) -> None:
        value = first_of(card, *card_keys)
        key_values.string(f"general.{key}", (otherwise if value is None else value) or "")

    add("name", "name", "model_name", otherwise=guess("name"))
    add("author", "author", "model_author", "model_creator")
    add("version", "version", "model_version", otherwise=guess("version"))
    add("organization", "organization", "model_organization", otherwise=guess("organization"))
    add("finetune", "finetune", "model_finetune", otherwise=guess("finetune"))
    add("basename", "basename", "model_basename", "model_type", otherwise=guess("basename"))
    add("description", "description", "model_description")
    size_label = guess("size_label") or count.size_label
    add("size_label", "size_label", "model_size_label", otherwise=size_label)
    add("license", "license")
    add("license.name", "license_name")
    add("license.link", "license_link")
    for field in ("url", "doi", "uuid", "repo_url"):
        add(f"source.{field}", field, f"model_{field}")
    _add_origins(
        key_values,
        "base_model",
        origins_of(card, "base_model", "base_models", "base_model_sources", n_params=n_params),
    )
    _add_origins(
        key_values,
        "dataset",
        origins_of(card, "datasets", "dataset", "dataset_sources", n_params=n_params),
    )
    key_values.strings("general.tags", texts_of(card, "tags", "pipeline_tag"))
    key_values.strings("general.languages", texts_of(card, "languages", "language"))


def add_model(
    key_values: KeyValues,
    architecture: Architecture,
    parameters: Hyperparameters,
    file_type: FileType,
) -> None:
    """Sizes, attention and rotary embedding under the architecture's name; the file type."""
    prefix = architecture.name
    if parameters.rope.rope_type in {"longrope", "su"} and not architecture.has_long_rope:
        raise UnsupportedError(f"config.json: {prefix} with long-rope scaling is not supported")
    (architecture.add_standard or _add_standard)(key_values, prefix, parameters)
    states_head_dim = architecture.states_head_dim
    if parameters.has_own_head_dim if states_head_dim is None else states_head_dim:
        key_values.uint(f"{prefix}.attention.key_length", parameters.head_dim)
        key_values.uint(f"{prefix}.attention.value_length", parameters.head_dim)
    key_values.uint("general.file_type", file_type)
    architecture.add_parameters(key_values, prefix, parameters)
    key_values.uint("general.quantization_version", QUANTIZATION_VERSION)


def _add_standard(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    for key, size in parameters.standard_sizes().items():
        key_values.uint(f"{prefix}.{key}", size)
    _add_rope_scaling(key_values, prefix, parameters)
    key_values.real(f"{prefix}.rope.freq_base", parameters.rope.theta)
    if parameters.rope.local_theta is not None:
        key_values.real(f"{prefix}.rope.freq_base_swa", parameters.rope.local_theta)
    key_values.real(f"{prefix}.attention.layer_norm_rms_epsilon", parameters.rms_eps)
    if parameters.n_expert:
        key_values.uint(f"{prefix}.expert_count", parameters.n_expert)
        if parameters.n_expert_used:
            key_values.uint(f"{prefix}.expert_used_count", parameters.n_expert_used)
        _add_expert_choice(key_values, prefix, parameters)


def _add_expert_choice(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    values = parameters.values
    for key, option in (("group_count", "n_group"), ("group_used_count", "topk_group")):
        if option in values:
            key_values.uint(f"{prefix}.expert_{key}", parameters.size(option))
    scoring = values.get("scoring_func")
    if scoring is None:
        return
    if not isinstance(scoring, str) or scoring not in _GATING:
        raise UnsupportedError(
            f"config.json: scoring_func is {str(scoring)[:40]!r}; known are {', '.join(_GATING)}"
        )
    key_values.uint(f"{prefix}.expert_gating_func", _GATING[scoring])


def _add_rope_scaling(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    rope = parameters.rope
    if rope.rope_type not in {"linear", "yarn"}:
        return
    scaling = f"{prefix}.rope.scaling"
    key_values.string(f"{scaling}.type", rope.rope_type)
    key_values.real(f"{scaling}.factor", rope.required("factor"))
    if rope.rope_type == "linear":
        return
    key_values.uint(f"{scaling}.original_context_length", rope.n_ctx_before or parameters.n_ctx)
    attention_factor = "attention_factor" if "attention_factor" in rope.options else "attn_factor"
    for key, option in (
        ("yarn_ext_factor", "extrapolation_factor"),
        ("yarn_attn_factor", attention_factor),
        ("yarn_beta_fast", "beta_fast"),
        ("yarn_beta_slow", "beta_slow"),
    ):
        if option in rope.options:
            key_values.real(f"{scaling}.{key}", rope.options[option])


def _add_sampling(key_values: KeyValues, checkpoint: Checkpoint) -> None:
    try:
        generation = checkpoint.optional_json("generation_config.json")
    except QuantError:
        return  # advice only; llama.cpp's converter passes over a broken one too
    for name, kind, keys in _SAMPLING:
        value: Any = next(
            (generation[key] for key in keys if generation.get(key) is not None), None
        )
        key = f"general.sampling.{name}"
        if kind == "string" and isinstance(value, str):
            key_values.string(key, value)
        elif kind == "int" and type(value) is int and abs(value) < 2**31:
            key_values.sint(key, value)
        elif kind == "float" and type(value) in {int, float} and abs(value) < 3e38:
            key_values.real(key, value)


def _named_by_config(config: Mapping[str, Any], n_params: int) -> NameParts:
    name = config.get("_name_or_path")
    # more than one slash is a path on somebody's machine
    if not isinstance(name, str) or not name or name.count("/") > 1:
        return NameParts()
    return split_model_id(name, n_params)


def _add_origins(key_values: KeyValues, kind: str, origins: list[dict[str, str]] | None) -> None:
    if origins is None:
        return
    key_values.uint(f"general.{kind}.count", len(origins))
    for number, origin in enumerate(origins):
        for field in _ORIGIN_FIELDS:
            key_values.string(f"general.{kind}.{number}.{field}", origin.get(field, ""))
