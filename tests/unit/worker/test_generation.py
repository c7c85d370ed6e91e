from __future__ import annotations

from typing import Any

from localr1.worker.frames import (
    GenerationEnd,
    GenerationFrame,
    PrefillProgress,
    Sampling,
    TokenPiece,
)
from localr1.worker.generation import Generator
from localr1.worker.interrupt import Interrupt
from tests.support.fake_llama import FakeModel, next_token

_GREEDY = Sampling(temperature=0)


def _generator(model: FakeModel) -> tuple[Generator, Interrupt]:
    interrupt = Interrupt()
    model.is_interrupted = lambda: interrupt.is_set
    return Generator(model, interrupt, resident_bytes=lambda: 1, clock=lambda: 0.0), interrupt


def _reply(
    generator: Generator, prompt: list[int], max_tokens: int | None = 5
) -> list[GenerationFrame]:
    return list(generator.generate(prompt, _GREEDY, max_tokens))


def _ids(frames: list[GenerationFrame]) -> list[int]:
    return [frame.id for frame in frames if isinstance(frame, TokenPiece)]


def _end(frames: list[GenerationFrame]) -> GenerationEnd:
    assert isinstance(frames[-1], GenerationEnd)
    return frames[-1]


def _expected(prompt: list[int], n_tokens: int) -> list[int]:
    memory = list(prompt)
    for _ in range(n_tokens):
        memory.append(next_token(memory))
    return memory[len(prompt) :]


def test_reply_is_what_a_plain_loop_gives() -> None:
    generator, _ = _generator(FakeModel())

    frames = _reply(generator, [65, 66, 67], 8)

    assert _ids(frames) == _expected([65, 66, 67], 8)
    assert _end(frames).reason == "length"
    assert _end(frames).n_generated == 8


def test_first_progress_comes_before_any_evaluation() -> None:
    model = FakeModel()
    generator, _ = _generator(model)

    first = next(generator.generate([1, 2, 3], _GREEDY, 1))

    assert first == PrefillProgress(n_done=0, n_total=3, n_cached=0)
    assert model.n_evaluated == 0


def test_prompt_is_read_in_steps_of_the_batch_size() -> None:
    generator, _ = _generator(FakeModel(n_batch=4))

    frames = _reply(generator, list(range(10)))

    done = [frame.n_done for frame in frames if isinstance(frame, PrefillProgress)]
    assert done == [0, 4, 8, 10]


def test_next_prompt_reads_only_what_is_new() -> None:
    model = FakeModel()
    generator, _ = _generator(model)
    first = _reply(generator, [1, 2, 3], 4)
    before = model.n_evaluated
    prompt = [1, 2, 3, *_ids(first), 9]

    frames = _reply(generator, prompt, 3)

    assert _end(frames).n_cached == 6  # the last token of a reply is sampled, not read
    assert model.n_evaluated - before == 2 + 2
    assert _ids(frames) == _expected(prompt, 3)


def test_same_prompt_again_evaluates_its_last_token() -> None:
    generator, _ = _generator(FakeModel())
    first = _reply(generator, [1, 2, 3])

    again = _reply(generator, [1, 2, 3])

    assert _end(again).n_cached == 2
    assert _ids(again) == _ids(first)


def test_prompt_that_parts_from_the_cache_forgets_the_rest() -> None:
    generator, _ = _generator(FakeModel())
    _reply(generator, [1, 2, 3, 4, 5])

    frames = _reply(generator, [1, 2, 7])

    assert _end(frames).n_cached == 2
    assert _ids(frames) == _expected([1, 2, 7], 5)


def test_memory_that_cannot_go_back_is_read_again() -> None:
    generator, _ = _generator(FakeModel(can_truncate=False))
    _reply(generator, [1, 2, 3, 4, 5])

    frames = _reply(generator, [1, 2, 7])

    assert _end(frames).n_cached == 0
    assert _ids(frames) == _expected([1, 2, 7], 5)


def test_window_that_slid_past_the_common_part_is_read_again() -> None:
    generator, _ = _generator(FakeModel(n_swa=4))
    _reply(generator, list(range(1, 21)), 10)

    frames = _reply(generator, [1, 2, 3, 4, 5, 6, 7, 99])

    assert _end(frames).n_cached == 0


def test_window_that_still_holds_the_common_part_is_reused() -> None:
    generator, _ = _generator(FakeModel(n_swa=16))
    _reply(generator, [1, 2, 3, 4, 5, 6], 2)

    frames = _reply(generator, [1, 2, 3, 4, 99])

    assert _end(frames).n_cached == 4


def test_cancel_while_reading_leaves_cache_and_list_agreed() -> None:
    model = FakeModel(n_batch=2)
    generator, interrupt = _generator(model)
    interrupt.begin(1)
    frames = []
    for frame in generator.generate(list(range(1, 11)), _GREEDY, 5):
        frames.append(frame)
        if isinstance(frame, PrefillProgress) and frame.n_done == 4:
            interrupt.cancel(1)

    assert _end(frames).reason == "cancelled"
    assert _end(frames).n_generated == 0
    assert model.memory == [1, 2, 3, 4]

    interrupt.begin(2)
    again = _reply(generator, list(range(1, 11)))

    assert _end(again).n_cached == 4
    assert _ids(again) == _expected(list(range(1, 11)), 5)


def test_cancel_while_decoding_keeps_what_was_said() -> None:
    model = FakeModel()
    generator, interrupt = _generator(model)
    interrupt.begin(1)
    frames = []
    for frame in generator.generate([1, 2], _GREEDY, None):
        frames.append(frame)
        if len(_ids(frames)) == 3:
            interrupt.cancel(1)

    assert _end(frames).reason == "cancelled"
    assert _ids(frames) == _expected([1, 2], 3)
    assert model.memory == [1, 2, *_ids(frames)[:2]]


def test_end_of_generation_token_ends_without_being_shown() -> None:
    generator, _ = _generator(FakeModel(script=[72, 105, 257]))

    frames = _reply(generator, [1], None)

    assert _ids(frames) == [72, 105]
    assert _end(frames).reason == "eog"


def test_full_context_ends_generation() -> None:
    generator, _ = _generator(FakeModel(n_ctx=6))

    frames = _reply(generator, [1, 2, 3], None)

    # three more tokens fit, and the one after them needs no room
    assert len(_ids(frames)) == 4
    assert _end(frames).reason == "context"
    assert _end(frames).n_ctx_used == 6


def test_prompt_as_long_as_the_context_gives_one_token() -> None:
    generator, _ = _generator(FakeModel(n_ctx=4))

    frames = _reply(generator, [1, 2, 3, 4], None)

    assert len(_ids(frames)) == 1
    assert _end(frames).reason == "context"


def test_no_tokens_wanted_reads_the_prompt_and_stops() -> None:
    model = FakeModel()
    generator, _ = _generator(model)

    frames = _reply(generator, [1, 2, 3], 0)

    assert _ids(frames) == []
    assert model.memory == [1, 2, 3]


def test_character_cut_between_tokens_arrives_whole() -> None:
    generator, _ = _generator(FakeModel(script=[*"né".encode(), 257]))

    texts = [f.text for f in _reply(generator, [1], None) if isinstance(f, TokenPiece)]

    assert texts == ["n", "", "é"]


def test_character_never_finished_is_replaced_at_the_end() -> None:
    generator, _ = _generator(FakeModel(script=["é".encode()[0], 257]))

    frames = _reply(generator, [1], None)

    assert _end(frames).text == "\ufffd"


def test_warm_up_leaves_nothing_behind() -> None:
    model = FakeModel()
    generator, _ = _generator(model)

    generator.warm_up()

    assert model.memory == []
    assert model.n_evaluated == 1


def test_reply_left_halfway_can_be_followed_by_another() -> None:
    generator, _ = _generator(FakeModel())
    left: Any = generator.generate([1, 2, 3], _GREEDY, None)
    for _ in range(4):
        next(left)
    left.close()

    frames = _reply(generator, [1, 2, 8])

    assert _ids(frames) == _expected([1, 2, 8], 5)
