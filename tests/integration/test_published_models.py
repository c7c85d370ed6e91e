"""Models that other people made, as their files are: SmolLM2, Gemma 3, R1-Distill-Qwen-7B.

They come in Python packages (see the Makefile); a test whose package is missing is skipped.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localr1.chat.prompt import PromptBuilder
from localr1.chat.template import ChildRenderer
from localr1.chat.thinking_format import detect_format, starts_in_thinking
from localr1.model_facts.card import ModelCard
from localr1.worker.frames import Segment
from localr1.worker.host import Engine
from quant.gguf.header import GgufHeader, read_header
from tests.support.checkpoint_llama import llama_tokenise
from tests.support.command_line import localr1
from tests.support.engines import greedy, ids, load
from tests.support.fake_engine import a_report
from tests.support.models import parameters_for
from tests.support.plain_loop import greedy_tokens

_PARIS = "What is the capital of France? Answer in one word."
_CONTROL, _USER_DEFINED = 3, 4  # token types of the GGUF format


def test_smollm2_answers_without_a_thought(smollm2: Path, tmp_path: Path) -> None:
    run = localr1("ask", smollm2, _PARIS, "--temp", "0", "--max-tokens", "24", home=tmp_path)

    assert run.code == 0
    assert "Paris" in run.stdout
    assert run.stderr == ""


def test_gemma3_answers(gemma3: Path, tmp_path: Path) -> None:
    run = localr1(
        *("ask", gemma3, "What is the capital of France?", "--temp", "0", "--max-tokens", "12"),
        home=tmp_path,
    )

    assert run.code == 0
    assert "Paris" in run.stdout


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_replies_are_llama_cpps_own(name: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(name)
    prompt = "The three largest cities of Europe are"
    engine = Engine.start()
    try:
        load(engine, parameters_for(path))
        prompt_ids = engine.tokenize([Segment(prompt, parse_special=True)])
        said = ids(list(engine.generate(greedy(prompt, max_tokens=12))))
    finally:
        engine.close()

    assert prompt_ids == llama_tokenise(path, [prompt])[0]
    assert said == greedy_tokens(path, prompt_ids, 12)


def test_r1_distill_renders_its_own_template_and_opens_no_thought_by_itself(r1_7b: Path) -> None:
    header = read_header(r1_7b)
    prompt = _rendered(header, "What is 2+2?")

    assert prompt == "<｜begin▁of▁sentence｜><｜User｜>What is 2+2?<｜Assistant｜>"
    template = ModelCard.from_header(header).chat_template or ""
    found = detect_format(template, prompt, _special_tokens(header))
    assert found is not None
    assert (found.open_tag, found.close_tag) == ("<think>", "</think>")
    assert not starts_in_thinking(prompt, found)


@pytest.mark.parametrize(
    "question",
    [
        "What is 2+2?",
        "  Größe: 12,345.67\n\n\tπ ≈ 3.14159",
        "我想知道北京的天气🙂",
        "def f(x):\n    return x",
    ],
)
def test_r1_distill_encodes_and_comes_back_by_the_tokens_of_our_header(
    question: str, r1_7b: Path
) -> None:
    header = read_header(r1_7b)
    prompt = _rendered(header, question)

    (encoded,) = llama_tokenise(r1_7b, [prompt])

    tokens = header.read_array("tokenizer.ggml.tokens")
    special = _special_tokens(header)
    assert [special[text] for text in ("<｜User｜>", "<｜Assistant｜>")] == [151644, 151645]
    # llama.cpp adds the BOS that the template writes as well; the engine takes care of one
    assert encoded[-1] == special["<｜Assistant｜>"]
    assert "".join(str(tokens[i]) for i in encoded if i in special.values()).endswith(
        "<｜User｜><｜Assistant｜>"
    )
    spelled = "".join(str(tokens[i]) for i in encoded if i not in special.values())
    assert _bytes_of(spelled).decode() == question


def _rendered(header: GgufHeader, question: str) -> str:
    card = ModelCard.from_header(header)
    tokens = header.read_array("tokenizer.ggml.tokens")
    renderer = ChildRenderer()
    builder = PromptBuilder(
        card.chat_template,
        replace(
            a_report(_special_tokens(header)),
            bos_text=str(tokens[card.bos_id or 0]),
            eos_text=str(tokens[card.eos_id or 0]),
        ),
        renderer,
        thinks=True,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    try:
        built = builder.build("", [], question)
    finally:
        renderer.close()
    assert built.notices == ()
    return "".join(segment.text for segment in built.segments)


def _special_tokens(header: GgufHeader) -> dict[str, int]:
    tokens = header.read_array("tokenizer.ggml.tokens")
    types = header.read_array("tokenizer.ggml.token_type")
    pairs = enumerate(zip(tokens, types, strict=True))
    return {str(text): i for i, (text, kind) in pairs if kind in {_CONTROL, _USER_DEFINED}}


def _bytes_of(spelled: str) -> bytes:
    """Undo the byte-level alphabet of GPT-2: printable Latin-1 stands for itself."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    byte_of = {chr(byte): byte for byte in own}
    byte_of |= {chr(256 + i): byte for i, byte in enumerate(others)}
    return bytes(byte_of[char] for char in spelled)
