"""The character encoding of a page, and its text: no page is lost to a wrong or missing declaration.

Bytes are stronger evidence than declarations: text that decodes as UTF-8 and is not ASCII is UTF-8 (text in another
encoding almost never decodes as UTF-8 by chance), and text full of invalid UTF-8 is not, whatever the header says.
Declarations decide the rest, in the order of the HTML standard (byte order mark, transport header, meta).
"""

import codecs
import re
from typing import Literal, NamedTuple

from tamis.stages.extract.charsets import SEVEN_BIT, codec_name

EncodingSource = Literal["header", "bom", "meta", "utf8", "detected"]

# What a repetition took is not given back (`*+`): long white space would be tried at each of its lengths.
_VALUE = r"\s*+=\s*+(?:[\"']\s*+)?+([\w.:+-]++)"
_HEADER_CHARSET = re.compile(r"charset" + _VALUE, re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta\b[^>]{0,500}?charset" + _VALUE.encode(), re.IGNORECASE)
_XML_ENCODING = re.compile(rb"^\s*+<\?xml[^>]{0,200}?encoding\s*+=\s*+[\"']([\w.:+-]++)", re.IGNORECASE)
_META_BYTES = 1024
"""Bytes at the beginning of a page in which the HTML standard looks for a declaration."""
_LATE_META_BYTES = 1 << 19
"""Bytes that are searched when no declaration is there: one page in seven declares its charset later than the standard
allows."""
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_MAX_BAD_SHARE = 0.1
"""Share of the non-ASCII bytes that may be invalid in a page that declares UTF-8: a page that was cut off, or has
foreign text pasted into it, has a few."""
_DETECT_BYTES = 1 << 17


class Decoded(NamedTuple):
    """`charset` is Python's name of the codec that was used, and `source` is the evidence that decided for it."""

    text: str
    charset: str
    source: EncodingSource


def _declared(html: memoryview, content_type: str) -> tuple[str, EncodingSource] | None:
    header = _HEADER_CHARSET.search(content_type)
    if header and (name := codec_name(header.group(1))):
        return name, "header"
    for size in (_META_BYTES, _LATE_META_BYTES):
        head = html[:size]
        meta = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
        if meta and (name := codec_name(meta.group(1).decode("ascii", "replace"))):
            return name, "meta"
        if len(html) <= size:
            break
    return None


def decode_html(page: bytes | memoryview, content_type: str) -> Decoded:
    """Text of a page's bytes; never fails: bytes that are invalid in the chosen encoding become U+FFFD."""
    html = memoryview(page)
    for mark, name in _BOMS:
        if html[: len(mark)] == mark:
            return Decoded(str(html[len(mark) :], name, "replace"), name, "bom")
    declared = _declared(html, content_type)
    if declared and declared[0] in SEVEN_BIT:
        # Seven-bit encodings look like ASCII, and so like UTF-8.
        return Decoded(str(html, declared[0], "replace"), *declared)
    try:
        text = str(html, "utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if declared and (declared[0] == "utf-8" or text.isascii()):
            return Decoded(text, *declared)
        return Decoded(text, "utf-8", "utf8")
    return _decode_other(bytes(html), declared)


def _decode_other(html: bytes, declared: tuple[str, EncodingSource] | None) -> Decoded:
    """Decode a page whose `html` is not valid UTF-8."""
    if declared:
        text = html.decode(declared[0], "replace")
        if declared[0] != "utf-8" or _mostly_utf8(html, text):
            return Decoded(text, *declared)
    from resiliparse.parse.encoding import detect_encoding

    name = codec_name(detect_encoding(html, _DETECT_BYTES) or "") or "cp1252"
    if name == "utf-8" and not _mostly_utf8(html, html.decode("utf-8", "replace")):
        name = "cp1252"
    return Decoded(html.decode(name, "replace"), name, "detected")


def _mostly_utf8(html: bytes, text: str) -> bool:
    """Whether bytes that are not valid UTF-8 are few among the bytes that are not ASCII."""
    num_ascii = len(html) - len(html.translate(None, bytes(range(128))))
    num_bad = text.count("\ufffd") - html.count(b"\xef\xbf\xbd")
    return num_bad <= _MAX_BAD_SHARE * (len(html) - num_ascii)
