"""Extraction engines: one interface, honest refusals, hostile pages, and the block engine's choice and layout."""

import importlib.metadata
import json
import time
from typing import Any

import pytest

from tamis.base.errors import ConfigError
from tamis.base.recipe import Recipe
from tamis.stages.extract.engines import ENGINES, check_engine, engine_for, engine_versions
from tamis.stages.extract.engines.model_file import model_digest
from tamis.stages.extract.stage import Extract, build

SENTENCES = "The ferry crosses the bay every morning, whatever the weather, and nobody thinks of it as a journey. " * 3
PAGE = f"""<!doctype html><html><head><title>Ferries</title><script>var x = "<p>no</p>";</script></head><body>
<nav class="main-menu"><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<div id="content" class="article-body"><h1>Across the bay</h1><p>{SENTENCES}</p><p>{SENTENCES}Tea &amp; toast.</p>
<p>{SENTENCES}</p></div>
<div class="sidebar"><ul><li><a href="/a">Most read</a></li><li><a href="/b">Subscribe now</a></li></ul></div>
<footer><p>© 2024 Ferries <a href="/imprint">Imprint</a></p></footer></body></html>"""

HOSTILE = {
    "empty": "", "blank": " \n", "only nul": "\0" * 50, "nul inside": "<p>a\0b</p>" * 20, "no tags": "just words " * 50,
    "unclosed": "<div><p>one<p>two<table><tr><td>three<b>" * 50, "deep": "<div>" * 1500 + "x",
    "attribute": f'<p class="{"nav " * 50000}" title="{"<p>" * 20000}">{SENTENCES}</p>', "cut": PAGE[: len(PAGE) // 2],
    "cut in tag": "<p>abc</p><div class='x", "comment": "<!-- <p>no</p>" + SENTENCES,
    "cdata": f"<![CDATA[{SENTENCES}]]>",
    "template": f"<template><p>{SENTENCES}</p></template>", "noscript": f"<noscript><p>{SENTENCES}</p></noscript>",
    "frames": '<frameset><frame src="a"><noframes><p>no</p></noframes></frameset>',
    "plaintext": "<plaintext><p>&amp;</p>",
    "script": "<script>while (a < b) { '</div>' }", "svg": "<svg><style><p>x</p></style><text>t</text></svg>",
    "entities": "<p>&amp;&lt;&#0;&#xD800;&nbsp;&notanentity;&#x1F600;</p>",
    "select": "<select><option>a<option>b</select><textarea><p>c</textarea>", "math": "<math><mi>x</mi></math>" * 30,
    "xml": '<?xml version="1.0" encoding="utf-16"?><html><body><p>text</p></body></html>',
}  # fmt: skip


def skip_without(name: str) -> None:
    try:
        check_engine(name, True, False)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_reads_an_article(name: str) -> None:
    skip_without(name)
    engine = engine_for(name, True, False)
    text = engine.extract(PAGE)
    assert text == engine.extract(PAGE)
    assert "Tea & toast." in text and "var x" not in text
    assert ("Subscribe now" in text) == (name == "plain")
    assert engine_versions(name) and all("==" in entry for entry in engine_versions(name))


@pytest.mark.parametrize("name", ["tamis", "plain"])
@pytest.mark.parametrize("page", HOSTILE)
def test_hostile_pages_give_some_text_in_bounded_time(name: str, page: str) -> None:
    for main_content, markdown in ((True, False), (False, ENGINES[name].markdown)):
        engine = engine_for(name, main_content, markdown)
        engine.extract(PAGE)  # compilation is no part of the time
        begin = time.process_time()
        text = engine.extract(HOSTILE[page])
        assert time.process_time() - begin < 10
        assert text == engine.extract(HOSTILE[page])
        text.encode()
        assert "while (a" not in text


def test_wrong_wishes_are_refused_before_work_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"extract\.markdown: engine 'resiliparse'.*tamis"):
        build({"markdown": True}, Recipe(name="x", stages=[]))
    with pytest.raises(ConfigError, match="paper mode"):
        build({"engine": "tamis"}, Recipe.parse({"name": "x", "stages": [], "mode": "paper"}, ""))
    with pytest.raises(ConfigError, match="main_content"):
        build({"engine": "justext", "main_content": False}, Recipe(name="x", stages=[]))

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("tamis.stages.extract.engines.choose.version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'tamis\[extract\]'"):
        build({"engine": "trafilatura"}, Recipe(name="x", stages=[]))


def test_identity_tells_engines_apart() -> None:
    def identity(**settings: Any) -> str:
        (stage,) = build(settings, Recipe(name="x", stages=[]))
        assert isinstance(stage, Extract)
        return json.dumps(stage.identity())

    assert len({identity(), identity(engine="tamis"), identity(engine="tamis", markdown=True)}) == 3
    assert model_digest() in identity(engine="tamis")


def test_markdown_keeps_headings_lists_tables_and_code() -> None:
    html = """<h2>Title</h2><p>One<br>two</p><ul><li>a<ul><li>b</li></ul></li><li>c<p>more</p></li></ul>
    <ol><li>x</li><li>y</li></ol><pre><code>def f():
    return 1 &lt; 2</code></pre><table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>a|b</td></tr></table>
    <blockquote><p>quoted</p></blockquote>"""
    assert engine_for("tamis", False, True).extract(html) == (
        "## Title\n\nOne  \ntwo\n\n- a\n  - b\n- c\n  more\n\n1. x\n2. y\n\n```\ndef f():\n    return 1 < 2\n```\n\n"
        "| k | v |\n| --- | --- |\n| 1 | a\\|b |\n\n> quoted"
    )
    assert engine_for("tamis", False, False).extract(html) == (
        "Title\n\nOne\ntwo\n\na\nb\nc\n\nmore\n\nx\ny\n\ndef f():\n    return 1 < 2\n\nk\tv\n1\ta|b\n\nquoted"
    )
