"""Documents made to harm: each is a typed refusal in one line that this process does not feel."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import pytest

from localr1.documents.document import Format
from localr1.documents.extraction import extract
from localr1.documents.reading import read_document
from localr1.errors import DocumentError
from tests.support.document_files import pdf_bytes, write_docx


def refusal_of(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        read_document(str(path), None)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400
    return caught.value.message


def deflated_zeros(n_megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(10**6)) for _ in range(n_megabytes)) + packer.flush()


def test_a_page_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(pdf_bytes([], streams=[deflated_zeros(200)]))

    assert "no page of it can be read" in refusal_of(path)


def test_a_parser_that_does_not_end_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    drawing = b"BT /F1 12 Tf " + b"(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) Tj " * 200_000 + b"ET"
    path.write_bytes(pdf_bytes([], streams=[zlib.compress(drawing)]))

    with pytest.raises(DocumentError, match="takes more than 1 seconds to parse"):
        extract(path, "slow.pdf", Format.PDF, cpu_s=1)


def test_pages_in_a_ring_are_damage(tmp_path: Path) -> None:
    content = pdf_bytes(["text"]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")
    path = tmp_path / "ring.pdf"
    path.write_bytes(content)

    refusal_of(path)


def test_a_pdf_of_noise_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "noise.pdf"
    path.write_bytes(b"%PDF-1.4\n" + bytes(range(256)) * 50)

    assert "is damaged" in refusal_of(path)


def test_entities_that_multiply_are_never_read(tmp_path: Path) -> None:
    bomb = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    doctype = f'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">{bomb}]>'
    path = write_docx(tmp_path / "bomb.docx", "&e9;", before=doctype)

    assert "document type" in refusal_of(path)


def test_a_word_document_that_unpacks_to_more_than_it_may_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<a>" + b" " * (140 * 1024**2))

    assert "unpacks to more than 128 MiB" in refusal_of(path)


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_huge_hole_is_refused_unread(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"text")
        file.truncate(2 * 1024**3)

    assert "too long: 2.0 GiB" in refusal_of(path)


def test_more_text_than_any_model_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.html"
    path.write_text("<p>" + "word " * 1_000_000, encoding="utf-8")

    assert "too long: 4,999,999 characters" in refusal_of(path)


def test_other_archives_are_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.xml", "<a/>")

    assert "a ZIP archive, no .docx" in refusal_of(path)


def test_a_name_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.pdf"
    path.write_bytes(b"%PDF-1.4")

    assert "\x1b" not in refusal_of(path)
