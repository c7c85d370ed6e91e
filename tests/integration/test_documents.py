"""`plan`, `ask` and `chat` with a --document, on the embedded model and on names alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.parameters import EngineParameters
from localr1.chat.attachments import framed, with_documents
from localr1.chat.prompt import PromptBuilder
from localr1.chat.template import ChildRenderer
from localr1.cli.main import run
from localr1.model_facts.card import ModelCard
from localr1.worker.host import Engine
from quant.gguf.header import read_header
from tests.support.command_line import localr1
from tests.support.document_files import write_locked_pdf, write_pdf
from tests.support.models import R1_NANO_CHECKPOINT, parameters_for
from tests.support.sessions import NOW

_ALONE = ("--threads", "1")  # several would wait for each other on a busy machine


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text("12 + 8 * 3 = 36\n" * 10, encoding="utf-8")
    return path


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "paper.pdf", *["12 + 8 = 20 and so on. " * 60] * 12)


def test_plan_says_what_a_pdf_costs_before_it_is_attached(
    paper: Path, r1_nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(r1_nano), "--ram", "16G", "--document", str(paper)]) == 4

    headline, context, document, *rest = capsys.readouterr().out.splitlines()
    assert headline.startswith("paper.pdf: ")
    assert " of KV; " in headline
    assert "the model was trained on 2048: use --document-tokens " in headline
    assert "512 reserved for thinking and answer" in context
    assert "pdf, 12 pages" in document
    assert any("--document-tokens" in line and "saves" in line for line in rest)


def test_plan_with_a_document_as_json_is_one_document_with_its_numbers(
    notes: Path, r1_nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--document", str(notes), "--reserve", "300", "--ram", "16G", "--json"]
    assert run(["plan", str(r1_nano), *arguments]) == 0

    plan = json.loads(capsys.readouterr().out)
    cost = plan["document"]
    assert cost["fits"] is True
    assert cost["is_estimate"] is False
    assert cost["needed_ctx"] == plan["request"]["n_ctx"]
    assert cost["kv_bytes"] == cost["n_tokens"] * plan["kv_bytes_per_token"]
    assert cost["reserved_tokens"] == 300
    assert cost["documents"][0]["n_tokens"] == cost["n_tokens_range"] == [cost["n_tokens"]] * 2


def test_a_checkpoint_and_the_model_made_of_it_count_the_same(
    notes: Path, r1_nano: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for model in (r1_nano, R1_NANO_CHECKPOINT):
        run(["plan", str(model), "--ram", "16G", "--document", str(notes), "--json"])
        counts.append(json.loads(capsys.readouterr().out)["document"]["n_tokens_range"])

    assert counts[0] == counts[1]


def test_a_model_that_is_a_name_only_gets_an_estimate_and_a_smaller_sibling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "book.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 4000, encoding="utf-8")

    code = run(["plan", "deepseek-r1:14b", "--ram", "16G", "--document", str(text), "--json"])

    plan = json.loads(capsys.readouterr().out)
    lowest, highest = plan["document"]["n_tokens_range"]
    assert code == 4
    assert lowest < 40_000 < highest == plan["document"]["n_tokens"]
    assert any(fix["change"].startswith("deepseek-r1:") for fix in plan["fixes"])
    assert any("estimated" in notice for notice in plan["notices"])


def test_ask_tells_the_cost_and_then_reads_the_document(
    notes: Path, r1_nano: Path, tmp_path: Path
) -> None:
    asked = ("What is 12 + 8 * 3?", "--temp", "0", "--max-tokens", "40", *_ALONE)
    done = localr1("ask", r1_nano, *asked, "--document", notes, "--json", home=tmp_path)

    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    (cost,) = [event for event in events if event.get("code") == "document_cost"]
    (prompt,) = [event for event in events if event["type"] == "prompt"]
    n_tokens = int(cost["message"].split()[1])
    assert done.code in {0, 10}
    assert cost["message"].startswith("notes.md: ")
    assert kinds.index("notice") < kinds.index("load")
    assert n_tokens < prompt["n_tokens"] < n_tokens + 256


def test_what_does_not_fit_is_one_line_with_a_way_out_that_works(
    paper: Path, r1_nano: Path, tmp_path: Path
) -> None:
    question = ("ask", r1_nano, "What is it?", "--max-tokens", "5", *_ALONE, "--document", paper)

    refused = localr1(*question, home=tmp_path)
    (line,) = refused.stderr.splitlines()
    n_tokens = line.partition("(use --document-tokens ")[2].split(";")[0]
    done = localr1(*question, "--document-tokens", n_tokens, home=tmp_path)

    assert (refused.code, refused.stdout) == (4, "")
    assert line.startswith("localr1: paper.pdf: ")
    assert "--load-anyway" in line
    assert done.code in {0, 10}
    assert "paper.pdf: the first " in done.stderr


def test_a_context_that_is_too_short_is_refused_unless_loaded_anyway(
    notes: Path, r1_nano: Path, tmp_path: Path
) -> None:
    options = ("--ctx", "768", "--max-tokens", "1", *_ALONE)
    question = ("ask", r1_nano, "hi", *options, "--document", notes)

    refused = localr1(*question, home=tmp_path)
    loaded = localr1(*question, "--load-anyway", home=tmp_path)

    assert refused.code == 4
    assert "use --ctx 1024" in refused.stderr
    assert loaded.code in {0, 10}


def test_chat_attaches_a_document_to_its_first_question(
    notes: Path, r1_nano: Path, tmp_path: Path
) -> None:
    options = ("--plain", "--max-tokens", "5", *_ALONE, "--document", notes)

    done = localr1("chat", r1_nano, *options, home=tmp_path, stdin="hi\n/exit\n")

    assert "localr1: notes.md: " in done.stderr
    assert "of KV; fits" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--document", "gone.pdf"], 3, "there is no document gone.pdf"),
        (["--document", "."], 2, "is a directory"),
        (["--document", "-", "--document", "-"], 2, "one document only"),
        (["--reserve", "9"], 2, "are for a --document"),
        (["--document", "LOCKED"], 6, "locked with a password"),
    ],
)
def test_what_cannot_be_attached_is_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    locked = write_locked_pdf(tmp_path / "locked.pdf", "text", password="x")  # noqa: S106
    asked = [str(locked) if word == "LOCKED" else word for word in arguments]

    assert run(["plan", "deepseek-r1:7b", "--ram", "16G", *asked]) == code

    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "use"),
    [
        (("ask", "demo"), "the question"),
        (("chat", "demo", "--plain"), "where the questions come from"),
        (("plan", "--metadata", "-"), "the metadata"),
    ],
)
def test_stdin_is_a_document_or_something_else(
    arguments: tuple[str, ...], use: str, tmp_path: Path
) -> None:
    done = localr1(*arguments, "--document", "-", home=tmp_path, stdin="text")

    assert done.code == 2
    assert f"it is {use}" in done.stderr


def test_a_document_of_control_tokens_forges_no_turn(r1_nano: Path) -> None:
    parameters: EngineParameters = parameters_for(r1_nano, n_ctx=1024)
    engine = Engine.start()
    renderer = ChildRenderer()
    try:
        loading = engine.load(parameters)
        while True:
            try:
                next(loading)
            except StopIteration as loaded:
                report = loaded.value
                break
        card = ModelCard.from_header(read_header(r1_nano))
        builder = PromptBuilder(card.chat_template, report, renderer, thinks=True, now=lambda: NOW)
        control_ids = []
        for text in ("harmless", "\n".join(report.special_tokens)):
            said = with_documents(framed([("a.txt", text)]), "What is it?")
            ids = engine.tokenize(builder.build("", [], said).segments)
            control_ids.append([i for i in ids if i in report.special_tokens.values()])
    finally:
        renderer.close()
        engine.close()

    assert report.special_tokens
    assert control_ids[0] == control_ids[1]
