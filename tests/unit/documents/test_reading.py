"""From a name to a document, parsers included."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from localr1.documents.document import Format
from localr1.documents.reading import read_document
from localr1.errors import DocumentError, LocalR1Error, ModelNotFoundError, UsageError
from tests.support.document_files import pdf_bytes, write_docx, write_locked_pdf, write_pdf


def test_a_markdown_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_bytes("# Title\r\n\r\nGrüße".encode())

    document = read_document(str(path), None)

    assert (document.name, document.format) == ("notes.md", Format.TEXT)
    assert (document.text, document.notices) == ("# Title\n\nGrüße", ())


def test_the_pages_of_a_pdf_follow_each_other_and_pictures_are_told(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "paper.pdf", "First (page)", "", "Third page")

    document = read_document(str(path), None)

    assert (document.format, document.n_pages) == (Format.PDF, 3)
    assert document.text == "First (page)\n\nThird page"
    assert document.notices == ("paper.pdf: page 2 of 3 without text, left out",)


def test_a_pdf_that_opens_without_a_password_is_read(tmp_path: Path) -> None:
    path = write_locked_pdf(tmp_path / "a.pdf", "for everybody", password="")

    assert read_document(str(path), None).text == "for everybody"


def test_a_word_document_is_read_paragraph_by_paragraph(tmp_path: Path) -> None:
    path = write_docx(tmp_path / "letter.docx", "Dear &lt;you&gt;,", "good bye")

    document = read_document(str(path), None)

    assert (document.format, document.text) == (Format.DOCX, "Dear <you>,\ngood bye\n")


def test_html_is_known_by_its_first_bytes_too(tmp_path: Path) -> None:
    path = tmp_path / "download"
    path.write_text("\n<!DOCTYPE html><title>T</title><p>text", encoding="utf-8")

    assert read_document(str(path), None).text == "T\n\ntext"


def test_stdin_is_text_and_its_name_is_a_dash() -> None:
    document = read_document("-", io.BytesIO(b"<p>as it is</p>"))

    assert (document.name, document.text) == ("stdin", "<p>as it is</p>")


def test_invisible_characters_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\u202eb\u200b", encoding="utf-8")

    assert read_document(str(path), None).notices == (
        "a.txt: 2 invisible characters were left out",
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty.txt is empty"),
        ("blank.txt", b" \n", "no text in it"),
        ("picture.png", b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a locked Office file"),
        ("letter.rtf", b"{\\rtf1 hello}", "an RTF file"),
        ("model.gguf", b"GGUF\x03\0\0\0", "a model"),
        ("program", b"\x01\x02\x00\xff", "binary data"),
        ("cut.pdf", b"%PDF-1.4\n1 0 obj", "is damaged"),
        ("scan.pdf", pdf_bytes(["", ""]), "has no text: its pages are pictures"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_name(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(DocumentError, match=message) as error:
        read_document(str(path), None)

    assert error.value.exit_code == 6
    assert error.value.message.startswith(name)
    assert "\n" not in error.value.message


def test_a_locked_pdf_is_refused_with_the_way_to_open_it(tmp_path: Path) -> None:
    path = write_locked_pdf(tmp_path / "a.pdf", "secret", password="x")  # noqa: S106

    with pytest.raises(DocumentError, match="locked with a password") as error:
        read_document(str(path), None)

    assert "qpdf --decrypt" in error.value.hint


@pytest.mark.parametrize(
    ("name", "kind"), [(".", UsageError), ("/dev/null", UsageError), ("gone", ModelNotFoundError)]
)
def test_what_is_no_file_is_refused(name: str, kind: type[LocalR1Error]) -> None:
    with pytest.raises(kind):
        read_document(name, None)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 ...", b"PK\x03\x04..."])
def test_stdin_takes_text_only(content: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^stdin "):
        read_document("-", io.BytesIO(content))
