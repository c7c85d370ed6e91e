from __future__ import annotations

import base64

import numpy as np
import pytest

from backends.errors import LlamaRefusedError
from localr1.worker.observation import Observation
from tests.support.fake_llama import FakeModel

_WEIGHT = "blk.0.attn_q.weight"


@pytest.mark.parametrize(
    ("adds_bos", "tokens"), [(False, [72, 60, 98, 62]), (True, [256, 72, 60, 98, 62])]
)
def test_text_is_read_as_it_stands_behind_bos(*, adds_bos: bool, tokens: list[int]) -> None:
    assert Observation(FakeModel(adds_bos=adds_bos)).tokens("H<b>") == tokens


@pytest.mark.parametrize(("adds_bos", "first"), [(False, 7), (True, 256)])
def test_bos_takes_the_place_of_a_chunks_first_token(*, adds_bos: bool, first: int) -> None:
    model = FakeModel(adds_bos=adds_bos)

    Observation(model).observe([7, 8, 9])

    assert model.observed == [[first, 8, 9]]


@pytest.mark.parametrize("chunk", [[], [1] * 65])
def test_chunk_that_does_not_fit_is_refused(chunk: list[int]) -> None:
    with pytest.raises(LlamaRefusedError, match="cannot be evaluated at once"):
        Observation(FakeModel(n_ctx=64)).observe(chunk)


def test_sums_come_in_pieces_behind_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localr1.worker.observation._PIECE_BYTES", 4)
    observation = Observation(FakeModel())
    observation.observe([1, 2, 3])

    (weight,) = observation.table()
    pieces = [base64.b64decode(piece) for piece in observation.pieces(weight.name)]

    assert (weight.name, weight.n_sums, weight.counts) == (_WEIGHT, 2, (3,))
    assert [np.frombuffer(piece, "<f4").tolist() for piece in pieces] == [[6], [12]]


def test_unknown_weight_is_refused() -> None:
    with pytest.raises(LlamaRefusedError, match=r"no weight output\.weight was observed"):
        list(Observation(FakeModel()).pieces("output.weight"))
