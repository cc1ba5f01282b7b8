"""Pages and texts that are hard to parse, to measure or to show: each hides between two healthy ones.

A heavy page has a file of its own, so that the limit of time and memory that is put on a file is one on a page.
"""

import random
from collections.abc import Iterator

from bad_warc import Archive, bad_url, block, record
from corpus import HostileFile, page


def files() -> list[HostileFile]:
    found = []
    for what, body in _markup():
        archive = Archive(f"page-{what}.warc.gz").good()
        found.append(archive.bad(record(bad_url(f"page/{what}"), block(body))).good().file())
    for what, text in texts():
        archive = Archive(f"text-{what}.warc.gz").good()
        found.append(archive.bad(record(bad_url(f"text/{what}"), block(page(text)))).good().file())
    return found


def _markup() -> Iterator[tuple[str, bytes]]:
    yield "attributes", b"<body><p " + b" ".join(b"a%d=1" % n for n in range(300_000)) + b">Hello.</p>"
    yield "same-attribute", b"<body><p " + b"a=1 " * 300_000 + b">Hello.</p>"
    yield "long-attribute", b"<body><a href='" + b"x" * (4 << 20) + b"'>Hello.</a>"
    yield "deep", b"<body>" + b"<div>" * 200_000 + b"Hello."
    yield "deep-inline", b"<body>" + b"<b><i>" * 100_000 + b"Hello."
    yield "deep-tables", b"<body>" + b"<table><tr><td>" * 30_000 + b"Hello."
    yield "deep-lists", b"<body>" + b"<ul><li>" * 50_000 + b"Hello."
    yield "deep-svg", b"<body>" + b"<svg><math>" * 50_000 + b"Hello."
    yield "deep-forms", b"<body>" + b"<button><a href=x>" * 50_000 + b"Hello."
    yield "adoption", b"<body>" + b"<a><b><p></a></b>" * 20_000 + b"Hello."
    yield "foster", b"<body><table>" + b"<b>x" * 50_000 + b"</table>Hello."
    yield "templates", b"<body>" + b"<template><select><option>" * 30_000 + b"Hello."
    yield "siblings", b"<body>" + b"<br>" * 600_000 + b"Hello."
    yield "paragraphs", b"<body>" + b"<p>a" * 300_000
    yield "comment", b"<body>Hello.<!--" + b"-!>" * 500_000
    yield "script", b"<body>Hello.<script>" + b"<!--<script>" * 300_000
    yield "plaintext", b"<body>Hello.<plaintext>" + b"</plaintext>" * 300_000
    yield "unclosed", b"<body>Hello." + b"<a <b <c " * 300_000
    yield "closing", b"<body>Hello." + b"</p></br></div>" * 200_000
    yield "entities", b"<body><p>" + b"&amp;&#0;&#xFFFFFFFF;&CounterClockwiseContourIntegral;&#55296;" * 40_000
    yield "laughs", b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><body>' + b"&b;" * 100_000
    yield "cdata", b"<body><svg><![CDATA[" + b"]]" * 500_000
    yield "names", b"<body><" + b"x" * (2 << 20) + b">Hello.</p>"
    yield "links", b"<body>" + b"<a href='//x'>Hello, reader.</a> " * 100_000
    yield "style", b"<body>" + b"<p style='display:none;" + b"a:b;" * 500_000 + b"'>Hello."
    yield "frames", b"<frameset>" * 50_000 + b"Hello."
    yield "nothing", b""
    yield "nul", b"<html>\0<body\0>\0<p\0 \0=\0>" * 50_000


def texts() -> Iterator[tuple[str, str]]:
    """Texts without markup of their own; those of rows are made of them too."""
    chance = random.Random("texts")
    letters = "abcdefghijklmnopqrstuvwxyz"
    han = [chr(code) for code in range(0x4E00, 0x5E00)]
    yield "one-letter", "a" * 1_000_000
    yield "letters", "".join(chance.choices(letters, k=1_000_000))
    yield "han", "".join(chance.choices(han, k=300_000))
    yield "digits", "".join(chance.choices("0123456789", k=1_000_000))
    yield "spaces", "a " + " " * 1_000_000 + "b"
    yield "newlines", "a" + "\n" * 500_000 + "b"
    yield "lines", "a\n" * 300_000
    yield "bullets", "• x\n" * 200_000
    yield "dots", "." * 1_000_000
    yield "ellipses", "a...\n" * 200_000
    yield "words", "the " * 250_000
    yield "sentences", "A. " * 300_000
    yield "marks", "a" + "\u0301" * 300_000
    yield "joiners", "a\u200d\u200b\u00ad\ufeff" * 100_000
    yield "emoji", "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿" * 20_000
    yield "overrides", "\u202e\u2066\u202dabc\u2069" * 60_000
    yield "separators", "a\u2028b\u2029c\u0085d\x0be\x0c" * 60_000
    yield "private", "\ue000\uffff\U0010ffff\ufdd0" * 60_000
    yield "addresses", "https://a.example/x?y=1.2.3.4 me@a.example 1.2.3.4 " * 20_000
    yield "emails", "a." * 200_000 + "@" + "b." * 200_000 + "c"
    yield "numbers", "1.1." * 200_000
    yield "braces", "{" * 300_000
    yield "mixed", "".join(chr(chance.choice((chance.randrange(32, 0xD800), 0x1F600))) for _ in range(200_000))


ESCAPES = (
    "\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x1b]8;;https://bad.example/\x1b\\link\x1b]8;;\x1b\\ "
    "\x9b2J\x90q\x9c \x08\x08\r\x7f \u202eabc"
)
"""What a terminal obeys: colours, a title, a link, a cleared screen, a rewritten line."""
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)> [bold]rich[/bold] [/] {{x}} %s"
"""What a page of HTML or a library of terminal markup obeys."""
