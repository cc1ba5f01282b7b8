"""gigatoken gives the ids of `tokenizers`, on hostile texts too, or is not used, and says so."""

import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tamis.base import columns
from tamis.base.errors import ConfigError, NoRowError, ShardAgainError
from tamis.base.recipe import Recipe
from tamis.base.stage import REFERENCE_KEY, StageContext
from tamis.stages.tokenize import checks, engines
from tamis.stages.tokenize.bpe import train_tokenizer
from tamis.stages.tokenize.engines import GigatokenEncoder, TokenizersEncoder
from tamis.stages.tokenize.stage import Tokenize, build
from tamis.store.location import Location

REPOSITORY = Path(__file__).parents[2]
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
QWEN = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")
SCRIPTS = (
    "Latin ÄÖÜ", "Ελληνικά", "Кириллица", "עִבְרִית", "العَرَبِيَّة", "हिन्दी में", "বাংলা", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം",
    "ไทยไม่มีวรรค", "ລາວ", "བོད་སྐད", "မြန်မာ", "ქართული", "አማርኛ", "ᏣᎳᎩ", "ខ្មែរ", "ᠮᠣᠩᠭᠣᠯ", "日本語テスト",
    "中文没有空格",
    "한국어 띄어쓰기", "𐌰𐌱𐌲 𐎠𐎡 𝔘𝔫𝔦 𝟙𝟚",
)  # fmt: skip
HOSTILE: dict[str, str] = {
    "nothing": "", "a blank": " ", "scripts": " ".join(SCRIPTS) + "\n" + "".join(SCRIPTS),
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 👍🏽👍 🇩🇪🇩 1️⃣ ☺︎☺️ \u200d\u200d \ufe0f", "blanks": "a" + " " * 5000 + "b" + "  c   d    e",
    "tabs and newlines": "\t" * 999 + "x\r\n\r\n\n\r" + "\n" * 1000 + "  \n \t\n x \n", "blanks last": "x" + " " * 257,
    "odd blanks": "a\u00a0b\u2003\u2003c\u3000d\u200be\u2028f\u2029g\x0bh\x0ci\x85j\x1ck\u180el\ufeffm",
    "special tokens": "<|endoftext|><|endoftext|> a<|endoftext|>b <|padding|><|endof text|> <|endoftext|",
    "normal forms": "é e\u0301 \u0301 ﬁ ﬀ Å Å Ω \u1e9b\u0323 \u212a a\u0327\u0301 a\u0301\u0327 \u1100\u1161\u11a8",
    "replaced": "\ufffd\ufffd a\ufffdb \ufffe\uffff \U0010ffff \ue000", "controls": "".join(map(chr, range(160))) * 3,
    "digits": "0 12 345 6789 1,234.5 ½²³ Ⅷ ١٢٣ ५६ 1a2b " + "9" * 400,
    "short forms": "it's IT'S x'll 'D ''re 'ſ 've'VE 'M's",
    "code": "def f(x):\n\treturn {'a': [x**2, 0x1F]}  # ok\r\n\r\n    if a && c <= d:\n        pass;;\n/* */ <a href>",
    "marks": "".join("a" + chr(first) + "\u0327" + chr(last) for first, last in engines.NEWER_MARKS),
    "one letter": "a" * 20_000, "signs": "!?-_#" * 3000,
    "letters": "".join(random.Random(0).choices("abcdefghij", k=20_000)),
    "characters": "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA5), k=8000))),
    "anything": "".join(map(chr, random.Random(2).choices([*range(1, 0xD800), *range(0xE000, 0x1F000)], k=8000))),
}  # fmt: skip
assert set(map(unicodedata.category, HOSTILE["anything"])) >= {"Lu", "Ll", "Lo", "Mn", "Nd", "So", "Cn"}


def trained() -> dict[str, Any]:
    texts = [text[:3000] for text in (*HOSTILE.values(), *checks.DIFFICULT, Path(__file__).read_text("utf-8"))]
    return dict(json.loads(train_tokenizer(texts * 2, 900)))


def split_by(pattern: str) -> dict[str, Any]:
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    parts = [pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_alone]
    return dict(json.loads(pre_tokenizers.Sequence(parts).__getstate__()))


def added(found: dict[str, Any], content: str, **flags: bool) -> dict[str, Any]:
    names = ("special", "single_word", "lstrip", "rstrip", "normalized")
    last = max(max(found["model"]["vocab"].values()), *(token["id"] for token in found["added_tokens"]))
    token = {"id": last + 1, "content": content} | {name: flags.get(name, False) for name in names}
    return found | {"added_tokens": [*found["added_tokens"], token]}


def variants() -> dict[str, dict[str, Any]]:
    """Tokenizers of the kinds that are in use; `like NeoX` has its normal form and its tokens for runs of blanks."""
    own = trained()
    neox = own | {"normalizer": {"type": "NFC"}}
    for length in (24, 12, 4, 2):
        neox = added(neox, " " * length, normalized=True)
    return {
        "own": own, "like NeoX": added(neox, "<|padding|>", special=True),
        "like Llama 3": own | {"pre_tokenizer": split_by(LLAMA)},
        "like Qwen 2": own | {"pre_tokenizer": split_by(QWEN)},
    }  # fmt: skip


VARIANTS = ("own", "like NeoX", "like Llama 3", "like Qwen 2")


@pytest.fixture(scope="module")
def kinds() -> dict[str, dict[str, Any]]:
    return variants()


def both(found: dict[str, Any], literal: bool = True) -> tuple[TokenizersEncoder, GigatokenEncoder]:
    data = json.dumps(found).encode()
    tokenizer = Tokenizer.from_str(data.decode())
    tokenizer.encode_special_tokens = literal
    reference = TokenizersEncoder(tokenizer)
    return reference, GigatokenEncoder(data, reference, literal, lambda: 0)


@pytest.mark.parametrize("literal", [True, False], ids=["literal", "special tokens"])
@pytest.mark.parametrize("name", VARIANTS)
def test_hostile_texts_get_the_ids_of_tokenizers(name: str, literal: bool, kinds: dict[str, Any]) -> None:
    reference, encoder = both(kinds[name], literal)
    assert checks.difference([*checks.DIFFICULT], reference, encoder) is None
    assert checks.difference([*HOSTILE.values()], reference, encoder) is None
    for text in HOSTILE.values():
        assert checks.difference([text], reference, encoder) is None
    ids, _ = encoder.encode(pa.array([HOSTILE["special tokens"]]))
    assert (0 in ids.tolist()) is not literal


def test_a_megabyte_without_a_blank(kinds: dict[str, Any]) -> None:
    text = "".join(random.Random(3).choices("abcdefghijklmnopqrst", k=1_000_000))
    assert checks.difference([text], *both(kinds["own"])) is None


@pytest.mark.parametrize("name", ["own", "like NeoX"])
def test_all_texts_of_the_tests_get_the_ids_of_tokenizers(name: str, kinds: dict[str, Any]) -> None:
    suffixes = (".py", ".md", ".yaml", ".json", ".jsonl", ".html", ".txt", ".css")
    files = [
        file for folder in ("tests", "docs") for file in (REPOSITORY / folder).rglob("*") if file.suffix in suffixes
    ]
    texts = [file.read_text("utf-8", "replace")[:20_000] for file in files if "__pycache__" not in file.parts]
    assert len(texts) > 100
    assert checks.difference(texts, *both(kinds[name])) is None


def test_every_mark_and_letter_that_a_normal_form_changes(kinds: dict[str, Any]) -> None:
    """The libraries have tables of different versions of Unicode."""
    large = (range(0x3400, 0xA000), range(0xAC00, 0xF900), range(0x17000, 0x18D00))
    points = [c for c in range(0x80, 0x1F000) if not any(c in same for same in large)]
    groups = [points[start : start + 256] for start in range(0, len(points), 256)]
    texts = ["\n".join(pattern.format(chr(c)) for c in group) for group in groups
             for pattern in ("a{0}\u0327", "a\u0315{0}", "{0}{0}\u0301")]  # fmt: skip
    reference, encoder = both(kinds["like NeoX"])
    assert checks.difference(texts, reference, encoder) is None
    encoder._newer_marks = None
    assert checks.difference(texts, reference, encoder) is not None, "the table is needed no more"


def test_arrays_of_every_kind(kinds: dict[str, Any]) -> None:
    reference, encoder = both(kinds["own"])
    texts = ["", "one", "", "zwei <|endoftext|>", "三" * 50, ""]
    whole = pa.array(texts)
    for array in (whole, whole.slice(1, 4), whole.slice(2, 0), whole.slice(5), whole.cast(pa.large_string()).slice(1),
                  pa.array([], pa.string())):  # fmt: skip
        expected_ids, expected_counts = reference.encode(array)
        ids, counts = encoder.encode(array)
        assert ids.tolist() == expected_ids.tolist() and counts.tolist() == expected_counts.tolist()


WORDPIECE = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "<|endoftext|>": 3}, unk_token="[UNK]"))
WORDPIECE.pre_tokenizer = pre_tokenizers.Whitespace()


def unsuitable(own: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Name -> tokenizer, and what is said of it."""
    return {
        "wordpiece": (json.loads(WORDPIECE.to_str()), 'Unsupported model type "WordPiece"'),
        "whole words": (added(own, "foo", single_word=True), "'foo' inside of words"),
        "overlap": (added(own, "text|>!"), "'text|>!' and '<|endoftext|>' can overlap"),
        "normalised": (added(own | {"normalizer": {"type": "NFC"}}, "<x>", normalized=True), "text not yet normalised"),
        "another normal form": (own | {"normalizer": {"type": "NFD"}}, "Unsupported normalizer type: NFD"),
        "no words": (own | {"pre_tokenizer": own["pre_tokenizer"] | {"use_regex": False}}, "gives other ids than"),
    }


UNSUITABLE = ("wordpiece", "whole words", "overlap", "normalised", "another normal form", "no words")


def opened(found: dict[str, Any], folder: Path, **settings: Any) -> Tokenize:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(found))
    [stage] = build({"tokenizer": str(path)} | settings, Recipe(name="x", stages=[]))
    assert isinstance(stage, Tokenize)
    stage.open(StageContext(seed=0, assets={"tokenizer": Location(path)}))
    return stage


def told(out: pa.RecordBatch) -> tuple[str, str]:
    """Engine and fallback."""
    metadata = out.schema.field(columns.TOKEN_IDS).metadata
    return metadata[columns.ENGINE_KEY].decode(), metadata.get(columns.FALLBACK_KEY, b"").decode()


@pytest.mark.parametrize("name", UNSUITABLE)
def test_unsuitable_tokenizers_fall_back_and_say_why(name: str, kinds: dict[str, Any], tmp_path: Path) -> None:
    found, reason = unsuitable(kinds["own"])[name]
    out = opened(found, tmp_path).apply(pa.record_batch({"text": ["a ab foo  text|>! é"]}))
    assert told(out)[0].startswith("tokenizers ") and reason in told(out)[1]
    expected = opened(found, tmp_path, engine="tokenizers").apply(pa.record_batch({"text": ["a ab foo  text|>! é"]}))
    assert told(expected)[1] == "" and out.column("token_ids").equals(expected.column("token_ids"))
    with pytest.raises(ConfigError, match=r"tokenize\.engine: gigatoken cannot be used .*Set tokenize\.engine to auto"):
        opened(found, tmp_path, engine="gigatoken")


def test_without_the_package(kinds: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    out = opened(kinds["own"], tmp_path).apply(pa.record_batch({"text": ["a"]}))
    assert "gigatoken cannot be imported" in told(out)[1]


def test_both_engines_make_the_same_columns(kinds: dict[str, Any], tmp_path: Path) -> None:
    batch = pa.record_batch({"text": [*HOSTILE.values()]})
    fast, slow = (opened(kinds["like NeoX"], tmp_path, engine=engine).apply(batch) for engine in ("auto", "tokenizers"))
    assert told(fast)[0].startswith("gigatoken ") and told(slow)[0].startswith("tokenizers ")
    assert fast.equals(slow) and fast.schema.equals(slow.schema)


class Wrong:
    """An encoder that takes every `q` for a `k`, as no sample before has shown."""

    label = "wrong 1.0"

    def __init__(self, right: TokenizersEncoder) -> None:
        self._right = right

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        if any("panic" in text for text in texts.to_pylist()):
            raise BaseException("a panic")
        return self._right.encode(pa.array([text.replace("q", "k") for text in texts.to_pylist()], pa.string()))


def test_other_ids_are_found_told_and_mended(kinds: dict[str, Any], tmp_path: Path) -> None:
    stage = opened(kinds["own"], tmp_path)
    stage._fast = Wrong(stage._reference)  # type: ignore[assignment]
    assert told(stage.apply(pa.record_batch({"text": ["all is well"]})))[0] == "wrong 1.0"
    bad = pa.record_batch({"text": ["a long way to the\n quiet part " + "of it " * 30]})
    with pytest.raises(ShardAgainError, match=r"wrong 1\.0 gives other ids than tokenizers [\d.]+ at '.*quiet part of"):
        stage.apply(bad)
    with pytest.raises(ShardAgainError, match="a panic"):
        stage.apply(pa.record_batch({"text": ["panic"]}))
    again = stage.apply(bad.replace_schema_metadata({REFERENCE_KEY: b"for this reason"}))
    assert told(again) == (stage._reference.label, "for this reason")
    assert again.column("token_ids")[0].as_py()[:-1] == stage._reference.encode(bad.column("text"))[0].tolist()
    strict = opened(kinds["own"], tmp_path, engine="gigatoken")
    strict._fast = stage._fast
    with pytest.raises(NoRowError, match=r"tokenize\.engine: wrong"):
        strict.apply(bad)


def test_a_text_that_is_missing_is_an_error_of_its_row(kinds: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        opened(kinds["own"], tmp_path).apply(pa.record_batch({"text": ["a", None]}))


def test_the_sample_is_a_matter_of_each_document() -> None:
    rng = random.Random(5)
    texts = ["".join(rng.choices("abcdefg hij", k=rng.randrange(1, 60))) for _ in range(20_000)]
    whole = set(checks.sampled_rows(pa.array(texts), 7).tolist())
    assert 20_000 / checks.SAMPLED_ONE_IN / 2 < len(whole) < 20_000 / checks.SAMPLED_ONE_IN * 2
    parts = [checks.sampled_rows(pa.array(texts).slice(start, 100), 7) + start for start in range(0, 20_000, 100)]
    assert all(len(part) for part in parts)
    split = {row for part in parts for row in part.tolist()}
    assert len(split - whole) <= 200 and len(whole - split) <= 1
    assert set(checks.sampled_rows(pa.array(texts), 8).tolist()) != whole


def test_the_sample_of_odd_batches() -> None:
    assert not len(checks.sampled_rows(pa.array([], pa.string()), 0))
    assert not len(checks.sampled_rows(pa.array(["", ""]), 0))
    assert checks.sampled_rows(pa.array(["", "a", ""]), 0).tolist() == [1]
    long = "x" * (checks.MOST_CHOSEN_BYTES + 1)
    assert 1 in checks.sampled_rows(pa.array([long + "xx", long, "", long + "x"]), 0)
    assert not len(checks.sampled_rows(pa.array(["x" * (checks.MOST_SAMPLED_BYTES + 1)]), 0))


def test_the_tokenizer_is_loaded_anew_at_a_stated_size(kinds: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """gigatoken keeps every word that it has met."""
    reference, encoder = both(kinds["own"])
    monkeypatch.setattr(engines, "LEAST_TEXT_BYTES", 1000)
    memory = [1 << 30]
    encoder._resident_bytes = lambda: memory[0]
    encoder._resident_at_load = memory[0]
    words = pa.array([" ".join(HOSTILE["letters"][start : start + 9] for start in range(0, 1800, 9))])
    expected = reference.encode(words)[0].tolist()
    for grown, loads in ((0, 1), (engines.MOST_MEMORY_BYTES - 1, 1), (engines.MOST_MEMORY_BYTES, 2), (0, 2)):
        memory[0] += grown if grown != engines.MOST_MEMORY_BYTES else 1
        assert encoder.encode(words)[0].tolist() == expected
        assert encoder.num_loads == loads
    monkeypatch.setattr(engines, "MOST_TEXT_BYTES", 3000)
    encoder._resident_bytes = lambda: 0
    for _ in range(6):
        encoder.encode(words)
    assert encoder.num_loads == 5


def test_the_benchmark_compares_files_and_ends_in_json(kinds: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(kinds["own"]))
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in HOSTILE.values()))
    command = [sys.executable, str(REPOSITORY / "bench" / "tokenize.py"), "--repeats", "1",
               "--docs", str(tmp_path / "docs.jsonl"), "--tokenizer", str(tmp_path / "tokenizer.json")]  # fmt: skip
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(out.splitlines()[-1])
    assert found["documents"] == len(HOSTILE) and found["ids_equal"] is True
    assert found["ours"]["engine"].startswith("gigatoken ") and found["ratio"] > 0 and found["peak_memory_mb"] > 0


def test_the_benchmark_does_not_hide_the_module_of_the_standard_library() -> None:
    code = "import tokenize; print(tokenize.__name__, len(list(tokenize.tokenize(iter([b'a = 1']).__next__))))"
    env = os.environ | {"PYTHONPATH": str(REPOSITORY / "bench")}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["tokenize", "6"]
