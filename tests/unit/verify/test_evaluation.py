from __future__ import annotations

import pytest

from backends.errors import LlamaRefusedError
from localr1.verify.evaluation import compare_predictions
from localr1.verify.passages import PASSAGES
from tests.support.fake_predictor import FakePredictor


def test_both_models_read_the_same_batches_of_every_passage() -> None:
    source, result = FakePredictor(n_ctx=10_000), FakePredictor(n_ctx=10_000)

    seen = compare_predictions(source, result, lambda _share: None)

    assert source.texts == result.texts
    assert max(source.batch_sizes) == source.n_batch
    # nobody knows what follows the last letter
    assert list(map(len, source.texts)) == [len(passage) - 1 for passage in PASSAGES]
    assert seen.n_tokens == sum(len(passage) - 1 for passage in PASSAGES)
    assert seen.source_perplexity == pytest.approx(seen.n_vocab)


def test_a_passage_of_more_tokens_than_the_context_holds_is_cut() -> None:
    source = FakePredictor(n_ctx=100)

    compare_predictions(source, FakePredictor(), lambda _share: None)

    assert max(map(len, source.texts)) == 99


def test_a_text_begins_as_the_model_wants_it() -> None:
    source = FakePredictor(adds_bos=True)

    compare_predictions(source, FakePredictor(), lambda _share: None)

    assert {text[0] for text in source.texts} == {source.bos_id}


def test_progress_grows_up_to_the_end() -> None:
    shares: list[float] = []

    compare_predictions(FakePredictor(), FakePredictor(), shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("logit", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_prediction(logit: float) -> None:
    with pytest.raises(LlamaRefusedError, match="computes what is no number"):
        compare_predictions(FakePredictor(), FakePredictor(logit=logit), lambda _share: None)
