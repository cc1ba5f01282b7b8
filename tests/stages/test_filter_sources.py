"""Personal data masked; texts of arXiv, StackExchange and repositories."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_filter import PAGE, batch_of, make

from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.filter import pii
from tamis.stages.filter.sources_arxiv import ARXIV_EDITS
from tamis.stages.filter.stage import build


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to Jane.Doe+x@mail.example-site.co.uk.", f"write to {pii.EMAIL}."),
        ("<a@b.de>, c_d@e.org", f"<{pii.EMAIL}>, {pii.EMAIL}"),
        ("@handle a@b a@b. 5@3.4 import @decorator.name", None),
    ],
)
def test_email(text: str, masked: str | None) -> None:
    assert pii.mask_email(text)[0] == (text if masked is None else masked)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("from 8.8.8.8, then", f"from {pii.IPV4}, then"),
        ("at 2001:4860:4860::8888.", f"at {pii.IPV6}."),
        ("192.168.0.1 127.0.0.1 10.1.2.3 ::1 fe80::1 2001:db8::7", None),
        ("version 1.2.3.4.5, 999.1.1.1, 1.2.3, 12:30:45, a::b, std::vector, x.8.8.8.8", None),
    ],
)
def test_ip(text: str, masked: str | None) -> None:
    assert pii.mask_ip(text)[0] == (text if masked is None else masked)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("call +49 (30) 1234-5678 now", f"call {pii.PHONE} now"),
        ("(212) 555-0123 or 212.555.0123", f"{pii.PHONE} or {pii.PHONE}"),
        ("+442079460000", pii.PHONE),
        ("in 2019-2020, 3.14159265, 1234567890, ISBN 978-0-13-468599-1, 10.1000/182, 2023-01-15 12:00", None),
        ("+1 and +12 points, 200-300-400", None),
    ],
)
def test_phone(text: str, masked: str | None) -> None:
    assert pii.mask_phone(text)[0] == (text if masked is None else masked)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a1.@:+-( )\n٣é", max_size=60))
def test_masks_find_nothing_that_the_hint_misses(text: str) -> None:
    import pyarrow.compute as pc

    for kind, mask in pii.MASKS.items():
        if not pc.match_substring_regex(pa.array([text]), pii._HINTS[kind])[0].as_py():
            assert mask(text) == (text, 0)


def test_mask_stage_follows_the_filter() -> None:
    recipe = Recipe(name="x", stages=[])
    first, second = build({"mask_pii": ["email", "phone"]}, recipe)
    assert [first.name, second.name] == ["filter", "mask_pii"]
    assert [stage.name for stage in build({}, recipe)] == ["filter"]
    assert first.identity() == build({}, recipe)[0].identity(), "masking does not redo the filter"
    second.open(StageContext(seed=0))
    out = second.apply(batch_of([PAGE, "a@b.de and a@c.de", None, "+442079460000"]))
    assert out["text"].to_pylist() == [PAGE, f"{pii.EMAIL} and {pii.EMAIL}", None, pii.PHONE]
    assert out["num_email_masked"].to_pylist() == [0, 2, 0, 0]
    assert out["num_phone_masked"].to_pylist() == [0, 0, 0, 1]


LATEX = r"""% a comment line
\newcommand{\eg}{for example}
\def\R {\mathbb{R}}
Preamble text.
\section{One}
Let $x \in \R$, \eg\R, 50\% of it.% inline
\\% kept break
\begin{comment} gone \end{comment}
\paragraph{Two} text \R
\appendix
\section{Proofs}
"""


def arxiv(kind: str, text: str, mode: str = "fixed") -> str:
    stage = make(mode, rules="none", keep_languages=[], edits=[kind])
    out = stage.apply(batch_of([text]))
    return out["text"][0].as_py() if out["drop_reason"][0].as_py() is None else f"<{out['drop_reason'][0].as_py()}>"


def test_arxiv_edits() -> None:
    assert "Proofs" not in arxiv("arxiv_appendix", LATEX) and "Two" in arxiv("arxiv_appendix", LATEX)
    bare = arxiv("arxiv_comments", LATEX)
    assert "50\\% of it.\n" in bare and "comment line" not in bare and "\\\\\n" in bare
    assert "50\\% of it\n" in arxiv("arxiv_comments", LATEX, "paper"), "the published code takes the full stop too"
    assert "gone" not in arxiv("arxiv_comment_blocks", LATEX)
    assert r"for example\mathbb{R}, 50" in arxiv("arxiv_macros", LATEX)
    assert arxiv("arxiv_preamble", LATEX).startswith(r"\section{One}")
    assert arxiv("arxiv_preamble", "no sections") == "<empty_after_arxiv_preamble>"
    assert arxiv("arxiv_preamble", r"x \paragraph{A} y") == r"\paragraph{A} y"
    assert arxiv("arxiv_preamble", r"x \paragraph{A} y", "paper") == "<empty_after_arxiv_preamble>"
    assert set(ARXIV_EDITS) == {
        "arxiv_appendix",
        "arxiv_comments",
        "arxiv_comment_blocks",
        "arxiv_macros",
        "arxiv_preamble",
    }


def with_fields(records: list[dict | None]) -> pa.RecordBatch:
    extra = pa.array([None if record is None else json.dumps(record) for record in records], pa.string())
    return batch_of([None if record is not None else PAGE for record in records]).append_column("extra", extra)


def test_stackexchange() -> None:
    record = {
        "question": {"text": "<p>Why &amp; how?</p><ul><li>a</li></ul>", "score": 1},
        "answers": [{"text": "<p>low</p>", "score": 1}, {"text": "high", "score": 9}],
    }
    stage = make(rules="none", keep_languages=[], text_from="stackexchange")
    out = stage.apply(with_fields([record, None, {"other": 1}]))
    assert out["text"].to_pylist() == ["Q: Why & how?\n*a\nA: high\nA: low", PAGE, None]


def test_repository() -> None:
    record = {"repo_name": "me/it", "files": [{"filename": "a.py", "text": "x = 1"}, {"filename": "b.py", "text": "y"}]}
    batch = with_fields([record])
    named = make(rules="none", keep_languages=[], text_from="repository", file_name_probability=1.0)
    assert named.apply(batch)["text"].to_pylist() == ["<repo_name>me/it<file_sep>a.py\nx = 1<file_sep>b.py\ny"]
    plain = make(rules="none", keep_languages=[], text_from="repository", file_name_probability=0.0)
    assert plain.apply(batch)["text"].to_pylist() == ["<file_sep>x = 1<file_sep>y"]


def test_file_extensions() -> None:
    stage = make(rules="none", keep_languages=[], file_extensions=["redpajama", ".xyz"])
    names = ["src/a.py", "Makefile", "b.xyz", "c.exe", None]
    batch = batch_of([PAGE] * 5).append_column(
        "extra", pa.array([None if name is None else json.dumps({"filename": name}) for name in names], pa.string())
    )
    wrong = "wrong_file_extension"
    assert stage.apply(batch)["drop_reason"].to_pylist() == [None, None, None, wrong, wrong]


def test_letters_per_token(tmp_path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    rule = {"column": "letters_per_token", "op": "<", "threshold": 1.5, "reason": "few_letters"}
    stage = make(rules="none", keep_languages=[], tokenizer=str(tmp_path / "tokenizer.json"), own_rules=[rule])
    out = stage.apply(batch_of(["word another", "x = 1 + 2 ; y", None]))
    assert out["drop_reason"].to_pylist() == [None, "few_letters", None]
    assert out["letters_per_token"].to_pylist()[:2] == [5.5, 2 / 7]
