"""Tables beside RefinedWeb's: C4, FineWeb, Gopher, reserved hosts, and the recipe's own rules, edits and word lists."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from test_filter import PAGE, batch_of, golden_pages, make

from tamis import flow
from tamis.base.errors import ConfigError
from tamis.kernels import reference
from tamis.recipes.load import load_recipe
from tamis.stages.filter.published import RULES, TABLES
from tamis.stages.filter.settings import BANNED_WORD_RULES, FilterConfig
from tamis.stages.filter.urls import reserved_hosts

POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]


def reasons(texts: list[str], **settings: object) -> list[str | None]:
    return make(**({"keep_languages": []} | settings)).apply(batch_of(texts))["drop_reason"].to_pylist()


def c4_chain(text: str) -> tuple[str | None, str]:
    """DCLM's c4.yaml in plain Python, without its dedup, word list and language: verdict and final text."""
    if len(text) > 190_000:
        return "too_many_characters", text
    text = reference.drop_long_word_lines(text, 1000, by_split=True)
    text = reference.remove_citations(text)
    text = reference.drop_unpunctuated_lines(text, drop_ellipses=True)
    text = reference.drop_short_lines(text, 5, float("inf"))
    if not text:
        return "empty", text
    if "lorem ipsum" in text.lower():
        return "lorem_ipsum", text
    text = "\n".join(line for line in text.split("\n") if "javascript" not in line.lower()).strip()
    if not text:
        return "empty", text
    if "{" in text:
        return "curly_brackets", text
    text = "\n".join(line for line in text.split("\n") if not any(p in line.lower() for p in POLICY)).strip()
    text = reference.drop_repeated_pieces(text, "\n")
    if not text:
        return "empty", text
    return ("too_few_sentences" if len(reference.sentences(text)) < 3 else None), text


@pytest.mark.parametrize("name", ["web-dev", "docs-dev"])
def test_c4_is_the_chain_written_out(shared_data: Path, name: str) -> None:
    pages = [page["text"] for page in golden_pages(shared_data / "golden" / f"{name}.rules.jsonl.zst")]
    out = make(rules="c4", keep_languages=[]).apply(batch_of(pages))
    verdicts = set()
    for page, reason, text in zip(pages, out["drop_reason"].to_pylist(), out["text"].to_pylist(), strict=True):
        wanted, final = c4_chain(page)
        verdicts.add(wanted)
        assert re.sub("^empty_after_.*|^no_text$", "empty", reason or "") == (wanted or "")
        assert text == (page if wanted else final)
    assert {None, "too_few_sentences"} <= verdicts


def test_c4_word_list(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("grim word\nbad\n🖕\n")
    page = PAGE.replace("\n", " And that is that, in short.\n")
    texts = [page, page + "Never say the GRIM word to him here.", page + "He was badly hurt in the year after that.",
             page + "He said it with a 🖕 to all of them here."]  # fmt: skip
    settings = {"rules": "c4", "banned_words": str(tmp_path / "words.txt")}
    assert reasons(texts, **settings) == [None, "banned_words", None, "banned_words"]
    assert reasons(texts, **settings, max_banned_words=1) == [None] * 4
    paper = make("paper", keep_languages=[], **settings).apply(batch_of(texts))
    assert paper["drop_reason"].to_pylist() == [None, "banned_words", None, None], "\\b finds no emoji"


def test_any_table_takes_a_word_list(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("orchard\n")
    common = {"banned_words": str(tmp_path / "words.txt")}
    assert reasons([PAGE], **common) == [None]
    assert reasons([PAGE], **common, max_banned_words=0) == ["banned_words"]
    assert reasons([PAGE], **common, max_banned_words_per_word=0.5) == [None]
    kept = make(keep_languages=[], max_words_removed_fraction=0.9, edits=["banned_word_lines"], **common)
    assert "orchard" not in kept.apply(batch_of([PAGE]))["text"][0].as_py()


def test_fineweb_rules() -> None:
    lines = [f"Sentence number {n} of the page says that there is more to be read of it here." for n in range(12)]
    sound = "\n".join(lines)
    unpunctuated = "\n".join(line.rstrip(".") for line in lines[:11]) + "\nThe end. It is. And so. Be it. To be."
    short = "\n".join([*lines[:5], *(f"Item {n} of the list." for n in range(12))])
    repeated = "\n".join([*lines, lines[0], lines[1]])
    found = reasons(
        [sound, unpunctuated, short, repeated, sound + "\nWhat { is this.", sound + "\nThis is Lorem Ipsum."],
        rules="fineweb",
        skip_rules=[c.rule.reason for c in TABLES["gopher"].phases[0].checks],
    )
    wanted = [
        None,
        "too_few_punctuated_lines",
        "too_many_short_lines",
        "repeated_lines",
        "curly_brackets",
        "lorem_ipsum",
    ]
    assert found == wanted


def test_reserved_hosts() -> None:
    urls = [
        "https://www.reddit.com/r/x",
        "https://old.reddit.com/",
        "http://en.wikipedia.org/wiki/A",
        "http://a.example/",
    ]
    out = make(reserved_hosts=True).apply(batch_of([PAGE] * 4, urls))
    assert out["drop_reason"].to_pylist() == ["reserved_host", None, "reserved_host", None]
    paper = make("paper", reserved_hosts=True).apply(batch_of([PAGE] * 4, urls))
    assert paper["drop_reason"].to_pylist() == [None, None, "reserved_host", None], "www. escapes, as in DCLM"
    assert len(reserved_hosts()) == 16


def test_url_rules() -> None:
    urls = [
        "http://a.example/one-two",
        "http://a.example/one-three",
        "http://www.B.example/",
        "http://a.example/onetwo",
    ]
    rules = [
        {"reason": "two_words", "words": ["one", "two"], "min_matches": 2},
        {"reason": "my_hosts", "hosts": ["b.example"]},
    ]
    out = make(url_rules=rules).apply(batch_of([PAGE] * 4, urls))
    assert out["drop_reason"].to_pylist() == ["two_words", None, "my_hosts", None]
    glued = make(url_rules=[{"reason": "glued", "words": ["onetwo"], "whole_words": False, "ignore": ["-"]}])
    assert glued.apply(batch_of([PAGE] * 4, urls))["drop_reason"].to_pylist() == ["glued", None, None, "glued"]


def test_own_rules_alone() -> None:
    rule = {"column": "num_words", "op": "<", "threshold": 50, "reason": "too_short"}
    stage = make(rules="none", keep_languages=[], own_rules=[rule])
    out = stage.apply(batch_of([PAGE, "Too short."]))
    assert out["drop_reason"].to_pylist() == [None, "too_short"]
    assert out["text"].to_pylist() == [PAGE, "Too short."]
    assert [rule.to_dict()["source"] for rule in stage.rules] == ["recipe"]
    assert "num_words" in [signal.column for signal in stage.signals]


def test_own_rules_join_a_table() -> None:
    """On a signal that the table measures they are tested there, on another one on the final text."""
    own = [
        {"column": "num_whitespace_words", "op": ">", "threshold": 9, "reason": "own_words"},
        {"column": "num_sentences", "op": ">", "threshold": 3, "reason": "own_sentences"},
    ]
    stage = make(own_rules=own, keep_languages=[])
    assert [name for name in stage.adds.names if "num_whitespace_words" in name] == ["num_whitespace_words"]
    assert stage.apply(batch_of([PAGE]))["drop_reason"].to_pylist() == ["own_words"]
    later = make(own_rules=own[1:], keep_languages=[]).apply(batch_of([PAGE]))
    assert later["drop_reason"].to_pylist() == ["own_sentences"]
    assert later["num_sentences"].to_pylist() == [4.0]


def test_every_measured_signal_can_be_tested() -> None:
    from tamis.stages.filter.signals import MEASURED

    for table in TABLES:
        own = [{"column": name, "op": ">=", "threshold": 1e9, "reason": f"r_{name}"} for name in MEASURED]
        out = make(rules=table, own_rules=own, keep_languages=[]).apply(batch_of([PAGE, ""]))
        assert out["drop_reason"].to_pylist()[1] == "no_text"
        assert len(set(out.schema.names)) == len(out.schema.names)


def test_phrase_lists_and_edits() -> None:
    settings = {
        "rules": "none",
        "phrase_lists": {"mills": {"phrases": ["mill", "Miller"], "whole_words": True}},
        "own_rules": [{"column": "num_mills", "op": ">", "threshold": 1, "reason": "mills"}],
    }
    assert reasons([PAGE, "the mill", "millet and mills"], **settings) == ["mills", None, None]
    edited = make(
        rules="none",
        keep_languages=[],
        edits=[
            {"kind": "remove_phrases", "phrases": ["the quick", "there is"]},
            {"kind": "phrase_lines", "phrases": ["ORCHARD"]},
            {"kind": "long_lines", "limit": 18},
            "repeated_paragraphs",
        ],
    )
    text = edited.apply(batch_of([PAGE]))["text"][0].as_py()
    assert text.startswith("brown fox") and "orchard" not in text
    assert len(text.splitlines()) == 2
    assert reasons(["an orchard"], rules="none", edits=[{"kind": "phrase_lines", "phrases": ["orchard"]}]) == [
        "empty_after_phrase_lines"
    ]


def test_sampling_depends_on_the_id_alone() -> None:
    texts = [PAGE] * 400
    out = make(keep_probability=0.25).apply(batch_of(texts))
    kept = np.array([reason is None for reason in out["drop_reason"].to_pylist()])
    assert 70 < kept.sum() < 130
    tail = make(keep_probability=0.25).apply(batch_of(texts).slice(200))
    assert [reason is None for reason in tail["drop_reason"].to_pylist()] == kept[200:].tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"own_rules": [{"column": "num_wrods", "op": "<", "threshold": 1, "reason": "x"}]},
            "did you mean 'num_words'",
        ),
        ({"own_rules": [{"column": "num_words", "op": "=<", "threshold": 1, "reason": "x"}]}, "own_rules.0.op"),
        ({"own_rules": [{"colum": "num_words", "op": "<", "threshold": 1, "reason": "x"}]}, "did you mean 'column'"),
        ({"edits": ["counter_line"]}, "did you mean 'counter_lines'"),
        ({"edits": [{"kind": "counter_lines", "limit": 3}]}, "has no limit"),
        ({"edits": ["phrase_lines"]}, "needs phrases"),
        ({"edits": [{"kind": "remove_phrases", "phrases": ["é"]}]}, "ASCII"),
        ({"edits": ["banned_word_lines"]}, "needs filter.banned_words"),
        ({"max_banned_words": 3}, "needs filter.banned_words"),
        ({"phrase_lists": {"stop_words": {"phrases": ["a"]}}}, "cannot name a list"),
        ({"url_rules": [{"reason": "x"}]}, "give `hosts` or `words`"),
        ({"rules": "gopher", "min_sentences": 3}, "own_rules"),
    ],
)
def test_wrong_own_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(**settings)


def test_every_rule_has_a_setting_and_every_threshold_a_source() -> None:
    assert set(RULES) <= set(FilterConfig.model_fields)
    used = {check.setting for table in TABLES.values() for phase in table.phases for check in phase.checks}
    assert used | set(BANNED_WORD_RULES) == set(RULES)
    for table in TABLES.values():
        for phase in table.phases:
            assert all(re.search(r"\b20\d\d\b", check.rule.source) for check in phase.checks)


@pytest.mark.parametrize("name", ["c4", "refinedweb", "dclm-baseline-paper"])
def test_recipes_that_need_files_say_both_ways_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "one two three", "url": "https://a.example/"}\n')
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"Either run `tamis fetch .* or set the path"):
        flow.resolve(load_recipe(name), [str(pool)])


@pytest.mark.parametrize("name", ["gopher", "fineweb"])
def test_recipes_that_need_none_resolve(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "fineweb":
        pytest.importorskip("trafilatura", reason="the recipe fineweb extracts with trafilatura")
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "one two three", "url": "https://a.example/"}\n')
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "empty"))
    assert "filter" in [stage.name for stage in flow.resolve(load_recipe(name), [str(pool)]).stages]


def test_a_resolved_recipe_repeats_the_run(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text('{"text": "one two three", "url": "https://a.example/"}\n')
    own = {"column": "num_mills", "op": "<", "threshold": 1, "reason": "few"}
    settings = {
        "rules": "none",
        "edits": ["counter_lines", {"kind": "phrase_lines", "phrases": ["javascript"]}],
        "own_rules": [own],
        "phrase_lists": {"mills": {"phrases": ["mill"]}},
        "url_rules": [{"reason": "mine", "hosts": ["a.example"]}],
        "mask_pii": ["email"],
    }
    story = flow.resolve({"name": "mine", "stages": [{"filter": settings}]}, [str(pool)])
    again = flow.resolve(yaml.safe_load(flow.dump_recipe(story.recipe)))
    assert again.recipe == story.recipe
    assert [s.identity() for s in again.stages] == [s.identity() for s in story.stages]


def test_nulls_pass(shared_data: Path) -> None:
    banned = str(shared_data / "golden/banlists/ldnoobw.txt")
    batch = batch_of([None, PAGE]).set_column(2, "text", pa.array([None, PAGE], pa.large_string()))
    for table in TABLES:
        out = make(rules=table, banned_words=banned).apply(batch)
        assert out["drop_reason"].to_pylist()[0] is None
        assert out["text"].to_pylist()[0] is None
