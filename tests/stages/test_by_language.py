"""Rules by language: thresholds, stop words and ways of splitting a page by its language, and what a language without a
table keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_filter import PAGE, batch_of, make

from tamis import flow
from tamis.base.errors import ConfigError
from tamis.stages.filter.by_language import LanguageRules, table_of
from tamis.stages.filter.detectors import _codes
from tamis.stages.filter.languages import Language, chosen_labels, language_of, short_code
from tamis.stages.filter.published import TABLES

GERMAN = (
    "Der schnelle braune Fuchs springt über den faulen Hund, und mehr ist im Augenblick dazu nicht zu sagen.\n"
    "Es wäre gut, mehr von diesen Seiten zu haben, mit denen man sehen kann, was davon behalten wird.\n"
    "Niemand in dem Dorf konnte sich erinnern, wer den Obstgarten hinter der Mühle zuerst gepflanzt hatte.\n"
    "Manche sagten, es sei ein Müller gewesen, andere, dass ein Mönch auf der Reise die Samen zurückließ.\n"
)
JAPANESE = (
    "村の誰も、水車小屋の裏にある果樹園を最初に植えたのが誰だったのかを覚えていなかった。\n"
    "粉屋だったと言う人もいれば、旅の僧侶が種を残していったのだと主張する人もいた。\n"
    "毎年秋になると、子どもたちは学校の帰りに赤い実を拾い、母親たちはそれで菓子を焼いた。\n"
    "今では木は古くなったが、春にはまだ白い花が咲き、遠くの町からも人が見に来るという。\n"
)
THAI = (
    "ไม่มีใครในหมู่บ้านจำได้ว่าใครเป็นคนแรกที่ปลูกสวนผลไม้หลังโรงสี\n"
    "บางคนบอกว่าเป็นเจ้าของโรงสี และบางคนก็เชื่อว่าพระที่เดินทางผ่านมาได้ทิ้งเมล็ดพันธุ์ไว้\n"
    "ทุกปีในฤดูใบไม้ร่วง เด็ก ๆ จะเก็บผลไม้สีแดงระหว่างทางกลับบ้านจากโรงเรียน และแม่ของพวกเขาทำขนมจากผลไม้เหล่านั้น\n"
    "ตอนนี้ต้นไม้แก่แล้ว แต่ในฤดูใบไม้ผลิก็ยังมีดอกสีขาวบาน และผู้คนจากเมืองไกลก็มาชมกัน\n"
)


@pytest.mark.parametrize("table", ["refinedweb", "gopher", "fineweb", "c4"])
@pytest.mark.parametrize(("page", "language"), [(GERMAN, "de"), (JAPANESE, "ja"), (THAI, "th")])
def test_a_page_is_judged_by_the_rules_of_its_language(table: str, page: str, language: str) -> None:
    settings: dict[str, Any] = {"rules": table, "keep_languages": ["en", language], "min_language_score": 0.1}
    if table == "fineweb":
        settings["min_line_sentences"] = 3
    out = make(**settings).apply(batch_of([page, PAGE]))
    assert out["drop_reason"].to_pylist() == [None, None]
    key = table_of(language).key if (table_of(language)) else ""
    assert out["language_rules"].to_pylist() == [key, "published"]
    english = make(**settings, by_language=False).apply(batch_of([page, PAGE]))
    assert english["drop_reason"].to_pylist()[1] is None and "language_rules" not in english.schema.names
    if table in ("refinedweb", "gopher"):
        assert english["drop_reason"].to_pylist()[0] in ("too_few_stop_words", "too_few_words")


def test_english_pages_are_measured_as_without_other_languages() -> None:
    alone, beside = make().apply(batch_of([PAGE])), make(keep_languages=["en", "de"]).apply(batch_of([PAGE]))
    assert "language_rules" not in alone.schema.names
    for name in alone.schema.names:
        assert beside[name].to_pylist() == alone[name].to_pylist(), name


def test_paper_mode_has_the_published_rules_alone() -> None:
    stage = make("paper", keep_languages=["en", "de"])
    assert stage.by_language is None
    assert stage.apply(batch_of([GERMAN]))["drop_reason"].to_pylist() == ["too_few_stop_words"]


def test_a_threshold_of_the_recipe_holds_for_every_language() -> None:
    pages = batch_of([GERMAN, PAGE])
    stage = make(rules="gopher", keep_languages=["en", "de"], max_mean_word_length=2)
    assert stage.apply(pages)["drop_reason"].to_pylist() == ["words_too_long"] * 2
    # German words have 15 letters on average at most, in FineWeb2, and 10 in the published table.
    longer = GERMAN.replace("Fuchs", "Donaudampfschifffahrtsgesellschaft" * 20)
    assert make(rules="gopher", keep_languages=["de"]).apply(batch_of([longer]))["drop_reason"].to_pylist() == [None]


def test_the_card_names_the_table_of_every_rule() -> None:
    stage = make(rules="gopher", keep_languages=["en", "de"])
    lengths = {rule.among: rule.threshold for rule in stage.rules if rule.reason == "words_too_long"}
    assert lengths == {("language_rules", "published"): 10.0, ("language_rules", "deu_Latn"): 15.0}
    assert [rule.among for rule in stage.rules if rule.reason == "too_few_words"] == [None]
    assert all("FineWeb2" in rule.source for rule in stage.rules if rule.among == ("language_rules", "deu_Latn")
               if rule.reason not in ("too_few_stop_words",))  # fmt: skip
    everything = make(rules="gopher", keep_languages=["any"])
    assert len({rule.among for rule in everything.rules}) == 2 + 30


def test_a_language_without_a_table_keeps_the_other_rules_and_the_run_says_so(tmp_path: Path) -> None:
    pytest.importorskip("heliport", reason="heliport is optional: pip install heliport")
    stage = make(rules="gopher", keep_languages=["en", "sh"], language_model="heliport")
    (note,) = stage.plan_notes()
    assert "sh" in note and "too_few_stop_words" in note and "too_few_words" not in note.replace("too_few_words_", "")
    rules = LanguageRules(["en", "sh"], frozenset())
    assert rules.without == ["sh"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": PAGE}) + "\n")
    settings = {"rules": "gopher", "keep_languages": ["sh"], "language_model": "heliport"}
    recipe = {"name": "x", "pool": {"inputs": [str(tmp_path / "a.jsonl")]}, "stages": [{"filter": settings}]}
    assert flow.resolve(recipe).notes == [f"filter: {note}"]


def test_rules_that_depend_on_a_language_are_skipped_where_it_has_no_table() -> None:
    """py3langid's `zxx` is a page without language: code, tables, numbers."""
    code = "\n".join(f"x{i} = f{i}(y{i})[{i}] + {{z{i}}} ** {i}" for i in range(80))
    stage = make(rules="gopher", keep_languages=["any"], min_words=1)
    stage.by_language._index = dict.fromkeys(stage.labels, 1)
    out = stage.apply(batch_of([code, "word " * 3]))
    assert out["language_rules"].to_pylist() == ["none", "none"]
    assert out["num_stop_words"].null_count == 0 and all(v != v for v in out["num_stop_words"].to_pylist())
    assert out["drop_reason"].to_pylist() == [None, None]
    assert make(rules="gopher", keep_languages=["en"]).by_language is None
    few = make(rules="gopher", keep_languages=["any"])
    few.by_language._index = dict.fromkeys(few.labels, 1)
    assert few.apply(batch_of(["word " * 3]))["drop_reason"].to_pylist() == ["too_few_words"]


def test_odd_pages() -> None:
    """Empty text, no letters, a page that switches its language, and code alone."""
    pages = ["", "...", "12 34 !!", GERMAN + PAGE, "x = [1, 2]\nfor i in x: print(i)\n", "\0", "\u200b" * 9, None]
    for table in TABLES:
        out = make(rules=table, keep_languages=["any"]).apply(batch_of(pages))
        assert out["drop_reason"].to_pylist()[0] == "no_text" and out["error"].null_count == len(pages)
        assert out["language_rules"].to_pylist()[3] in ("published", "deu_Latn")
        assert out["language_rules"].to_pylist()[-1] is None


def test_without_published_rules_every_language_stays_and_is_named() -> None:
    out = make(rules="none").apply(batch_of([PAGE, GERMAN, JAPANESE, THAI, "..."]))
    assert out["drop_reason"].null_count == 5
    assert out["language"].to_pylist() == ["en", "de", "ja", "th", ""]
    with pytest.raises(ConfigError, match=r"filter\.keep_languages: `any` keeps every language; give it alone"):
        make(keep_languages=["any", "de"])
    assert make(keep_languages="any").config.keep_languages == ["any"]


def test_language_codes_of_every_kind() -> None:
    assert language_of("de") == language_of("deu") == Language("deu")
    assert language_of("deu_Latn") == Language("deu", "Latn")
    assert language_of("zh") == Language("cmn") and language_of("zh-cn") == Language("cmn", "Hans")
    assert language_of("German") is None and language_of("EN") is None and language_of("xq") is None
    assert [short_code(code) for code in ("deu", "cmn", "nob", "arb", "fas", "bar")] == [
        "de", "zh", "no", "ar", "fa", "bar",
    ]  # fmt: skip
    labels = ["deu_Latn", "srp_Cyrl", "srp_Latn", "cmn_Hani"]
    assert chosen_labels(["sr", "de"], labels, "glotlid", "x") == ["srp_Cyrl", "srp_Latn", "deu_Latn"]
    assert chosen_labels(["srp_Latn"], labels, "glotlid", "x") == ["srp_Latn"]
    with pytest.raises(
        ConfigError, match=r"filter\.keep_languages\.0: py3langid does not tell the scripts of 'srp_Latn'"
    ):
        make(keep_languages=["srp_Latn"])
    with pytest.raises(ConfigError, match=r"keep_languages\.1: py3langid knows no language 'dee' \(did you mean 'de'"):
        make(keep_languages=["deu", "dee"])
    assert make(keep_languages=["deu", "fra"]).labels == ["de", "fr"]


def test_nearly_every_language_that_a_detector_knows_has_a_table() -> None:
    without = {name: [code for code in codes if table_of(code) is None] for name, codes in _codes().items()}
    assert without["py3langid"] == ["en", "zxx"] and without["langdetect"] == ["en"]
    assert without["lid.176"] == ["bh", "en", "sh"] and len(without["heliport"]) == 9
    # A detector that names no script gets the stop words of all scripts of a language.
    serbian = table_of("sr")
    assert serbian is not None and {"је", "je"} <= set(serbian.stop_words)
    assert table_of("srp_Latn") is not None and "је" not in table_of("srp_Latn").stop_words


def test_heliport_names_the_languages_of_pages() -> None:
    heliport = pytest.importorskip("heliport", reason="heliport is optional: pip install heliport")
    assert heliport is not None
    stage = make(rules="none", language_model="heliport")
    assert set(_codes()["heliport"]) == set(stage.detector.labels) and stage.assets() == {}
    out = stage.apply(batch_of([PAGE, GERMAN, JAPANESE, THAI, "12 34 56"]))
    assert out["language"].to_pylist() == ["en", "de", "ja", "th", ""]
    assert all(0.65 < score < 1 for score in out["language_score"].to_pylist()[:4])
