from __future__ import annotations

import pytest

from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of as card_of_entry
from localr1.model_facts.requantised import requantised
from quant.gguf.types import FileType, TensorType
from tests.support.plan_models import LLAMA_8B, QWEN_30B_A3B, card_of


def test_a_model_in_another_type_keeps_its_shapes() -> None:
    card = card_of(LLAMA_8B)

    other = requantised(card, FileType["Q8_0"])

    assert {t.name: t.dims for t in other.tensors} == {t.name: t.dims for t in card.tensors}
    assert {t.type_name for t in other.tensors} == {"Q8_0", "F32"}
    assert other.quant == "Q8_0"
    assert other.file_bytes == sum(t.n_bytes for t in other.tensors)


def test_published_sizes_of_llama_3_8b_come_out() -> None:
    # GiB of the files that people download, header included: a few MB more
    gib = {"Q8_0": 7.95, "Q6_K": 6.14, "Q5_K_M": 5.33, "Q4_K_M": 4.58}

    for name, size in gib.items():
        other = requantised(card_of(LLAMA_8B), FileType[name])
        assert other.file_bytes / 2**30 == pytest.approx(size, abs=0.01)


def test_experts_that_were_published_in_four_bits_stay_as_they_are() -> None:
    entry, _ = find_entry("gpt-oss:20b")
    card = card_of_entry(entry, FileType.MXFP4_MOE)

    other = requantised(card, FileType.Q8_0)

    assert {t.name for t in other.tensors if t.type_name == "MXFP4"} == {
        t.name for t in card.tensors if "_exps.weight" in t.name
    }


def test_offsets_follow_one_another() -> None:
    offset = 0
    for tensor in requantised(card_of(QWEN_30B_A3B), FileType["Q4_K_M"]).tensors:
        n_items = 1
        for dim in tensor.dims:
            n_items *= dim
        assert tensor.offset == offset
        assert tensor.n_bytes == TensorType[tensor.type_name].n_bytes(n_items)
        offset += tensor.n_bytes
