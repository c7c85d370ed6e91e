"""Whatever is done to a valid header, the reader answers with a header or one typed error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localr1.errors import ModelFileError
from localr1.model_facts.card import ModelCard
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from quant.errors import GgufFileError
from quant.gguf.header import read_header
from tests.support.gguf_dense import DenseShape, write_dense

_SHAPE = DenseShape(n_layer=2, n_vocab=8, n_ctx_train=512)
_HOST = HostMemory(total_bytes=2**33, available_bytes=2**33)

_edits = st.lists(
    st.tuples(
        st.sampled_from(("set", "delete", "insert")),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def _edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    changed = bytearray(data)
    for kind, where, value in edits:
        at = int(where * len(changed))
        if kind == "set":
            changed[at : at + len(value)] = value
        elif kind == "delete":
            del changed[at : at + len(value)]
        else:
            changed[at:at] = value
    return bytes(changed)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=_edits)
def test_a_changed_header_is_read_or_refused(
    tmp_path: Path, edits: list[tuple[str, float, bytes]]
) -> None:
    original = write_dense(tmp_path / "original.gguf", _SHAPE)
    data_offset = read_header(original).data_offset
    path = tmp_path / "changed.gguf"
    path.write_bytes(_edited(original.read_bytes()[:data_offset], edits))

    try:
        card = ModelCard.from_header(read_header(path, allow_truncated=True))
    except (GgufFileError, ModelFileError):
        return
    assert 1 <= card.n_layer <= 512
    assert all(tensor.n_bytes > 0 for tensor in card.tensors)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=_edits)
def test_whatever_card_comes_out_can_be_planned_or_is_refused(
    tmp_path: Path, edits: list[tuple[str, float, bytes]]
) -> None:
    original = write_dense(tmp_path / "original.gguf", _SHAPE)
    data_offset = read_header(original).data_offset
    path = tmp_path / "changed.gguf"
    path.write_bytes(_edited(original.read_bytes()[:data_offset], edits))

    try:
        card = ModelCard.from_header(read_header(path, allow_truncated=True))
    except (GgufFileError, ModelFileError):
        return
    plan = make_plan(card, PlanRequest(n_ctx=512), (), _HOST)

    assert plan.need_bytes > 0


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes_behind_the_magic_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("random") / "m.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + data)

    try:
        header = read_header(path)
    except GgufFileError:
        return
    assert header.missing_bytes == 0
