"""Decides whether a response is a page: by its Content-Type, and by its first bytes where that is missing."""

import re

_PAGES = frozenset(("text/html", "application/xhtml+xml", "text/plain"))
_VAGUE = frozenset(("", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown",
                    "unknown", "*/*", "text", "content/unknown", "application/x-unknown-content-type"))  # fmt: skip
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|script|div|table|p|h1|a|!--)\b", re.IGNORECASE)
_BINARY = (b"%PDF-", b"\x89PNG", b"GIF8", b"\xff\xd8\xff", b"PK\x03\x04", b"\x1f\x8b\x08", b"RIFF", b"\xd0\xcf\x11\xe0",
           b"wOFF", b"wOF2", b"OggS", b"ID3", b"BM\x00", b"\x00\x00\x01\x00")  # fmt: skip


def media_type(content_type: str) -> str:
    """'text/html' of 'Text/HTML; charset=x'."""
    return content_type.partition(";")[0].partition(",")[0].strip().lower()


def is_page(content_type: str, body: bytes | memoryview) -> bool:
    """Whether a response is HTML, XHTML or plain text. A header that says so is believed unless the body begins like a
    well-known binary format; where the header says nothing, the first kilobyte must hold an HTML tag."""
    kind, head = media_type(content_type), bytes(body[:1024])
    if kind in _PAGES:
        return not head.startswith(_BINARY)
    return kind in _VAGUE and _HTML.search(head) is not None and not head.startswith(_BINARY)
