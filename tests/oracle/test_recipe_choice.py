"""Our choice of types against llama.cpp's own: its quantiser's on headers of models with their true
shapes, and its record of published models.

The record and how it was made: tests/golden/quant/make_mixes.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType, TensorType
from quant.recipe import FILE_TYPES, ModelFacts, TypedTensor, choose_types_of_gguf
from quant.recipe.mix import MIXES
from quant.rows import stored_rows
from quant.source.safetensors import StoredTensor
from tests.support.gguf_llama_types import TypeRequest, llama_types
from tests.support.gguf_mixes import Condensed, condense
from tests.support.gguf_shapes import PUBLISHED, ModelShape, tensor_dims, write_shape

_RECORD: dict[str, dict[str, Condensed]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "quant" / "mixes.json").read_text(encoding="utf-8")
)
_WITH_IMATRIX = (FileType.Q4_0, FileType.Q4_K_M, FileType.IQ4_NL, FileType.IQ4_XS)
_PATTERNS = ((r"blk\.[02468]\.attn_v", TensorType.Q8_0), ("ffn_down", TensorType.Q4_0))

_Choices = dict[TypeRequest, dict[str, str]]


@pytest.fixture(scope="module")
def llamas_choices(tmp_path_factory: pytest.TempPathFactory) -> _Choices:
    """For every model and file type; asked at once, because loading llama.cpp takes longest."""
    directory = tmp_path_factory.mktemp("shapes")
    for name, shape in PUBLISHED.items():
        write_shape(directory / f"{name}.gguf", shape)
    requests = [request for name in PUBLISHED for request in _requests(name)]
    located = [replace(one, model=str(directory / f"{one.model}.gguf")) for one in requests]
    return dict(zip(requests, llama_types(located), strict=True))


def _requests(name: str) -> list[TypeRequest]:
    return [
        *(TypeRequest(name, file_type) for file_type in FILE_TYPES),
        *(TypeRequest(name, file_type, has_imatrix=True) for file_type in _WITH_IMATRIX),
        TypeRequest(name, FileType.Q4_K_M, overrides=_PATTERNS),
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_gets_the_type_that_llama_cpp_gives_it(
    name: str, llamas_choices: _Choices
) -> None:
    for request in _requests(name)[:-1]:
        ours = _changed(_choice(PUBLISHED[name], request))

        assert ours == llamas_choices[request], request
        assert len(ours) > PUBLISHED[name].n_layer


# what fits no block is an error for us and another type for llama.cpp
@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "narrow"])
def test_an_overridden_tensor_does_not_count_where_rules_count(
    name: str, llamas_choices: _Choices
) -> None:
    request = _requests(name)[-1]
    overrides = dict(_overrides(tensor_dims(PUBLISHED[name])))

    ours = _changed(_choice(PUBLISHED[name], request, overrides))

    assert ours == llamas_choices[request]


@pytest.mark.parametrize("file_type", FILE_TYPES, ids=lambda file_type: file_type.name)
@pytest.mark.parametrize("name", _RECORD)
def test_published_models_get_the_types_on_llama_cpps_record(
    name: str, file_type: FileType
) -> None:
    base = MIXES[file_type].base if file_type in MIXES else TensorType[file_type.name]

    ours = _changed(_choice(PUBLISHED[name], TypeRequest(name, file_type)))

    assert condense(ours, base.name) == _RECORD[name][file_type.name]


def _choice(
    shape: ModelShape, request: TypeRequest, overrides: Mapping[str, TensorType] | None = None
) -> list[TypedTensor]:
    n_expert = shape.experts.n_expert if shape.experts else 0
    return choose_types_of_gguf(
        [_tensor(name, dims) for name, dims in tensor_dims(shape).items()],
        FileType(request.file_type),
        ModelFacts(shape.arch, shape.n_layer, shape.n_head, shape.n_head_kv, n_expert),
        overrides=overrides or {},
        has_imatrix=request.has_imatrix,
    )


def _tensor(name: str, dims: tuple[int, ...]) -> MappedTensor:
    shape = dims[::-1]
    dtype = "F32" if len(dims) == 1 else "I8"
    return MappedTensor(name, shape, stored_rows(StoredTensor(Path(), name, dtype, shape, 0, 0)))


def _changed(typed: Iterable[TypedTensor]) -> dict[str, str]:
    """The tensors that do not keep their type, which are those that the dry run names."""
    return {
        item.tensor.name: item.tensor_type.name
        for item in typed
        if item.tensor_type.name != item.tensor.source.dtype
    }


def _overrides(names: Iterable[str]) -> Iterable[tuple[str, TensorType]]:
    even = tuple(f"blk.{bid}.attn_v" for bid in range(0, 10, 2))
    for name in names:
        if name.endswith(".weight") and name.startswith(even):
            yield name, TensorType.Q8_0
        elif name.endswith(".weight") and "ffn_down" in name:
            yield name, TensorType.Q4_0
