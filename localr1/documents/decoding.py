"""Owns bytes becoming text: UTF-8, or what a byte order mark or an HTML page says it is."""

from __future__ import annotations

import codecs
import re

from localr1.documents.document import READABLE
from localr1.errors import DocumentError

# longest first: the mark of UTF-32 begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED_WITHIN = 1024  # where the HTML standard has browsers look for it
_DECLARED = re.compile(
    rb"""charset\s*=\s*["']?\s*(iso-8859-\d{1,2}|windows-125\d|gbk|gb2312|gb18030|big5|shift_jis"""
    rb"""|euc-jp|euc-kr|koi8-[ru])\b""",
    re.IGNORECASE,
)


def decoded(content: bytes, name: str) -> str:
    """The text of a file. Raises: DocumentError if it is none."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as exc:
        if b"\0" in content and encoding == "utf-8":
            raise _binary(name) from exc
        raise DocumentError(
            f"{name} is not {encoding.removesuffix('-sig').upper()} text: byte "
            f"0x{content[exc.start]:02x} at position {exc.start}",
            hint="if it is in an older encoding: iconv -f WINDOWS-1252 -t UTF-8 FILE",
        ) from exc
    if "\0" in text:
        raise _binary(name)
    return text


def decoded_page(content: bytes, name: str) -> str:
    """The source of an HTML page, in the encoding that it declares if it is not UTF-8.

    Raises: DocumentError.
    """
    declared = _DECLARED.search(content[:_DECLARED_WITHIN])
    try:
        return decoded(content, name)
    except DocumentError:
        if declared is None or b"\0" in content:
            raise
        return content.decode(declared[1].decode("ascii"), errors="replace")


def _binary(name: str) -> DocumentError:
    return DocumentError(f"{name} holds binary data, no text", hint=READABLE)
