"""Tokenize: the library's ids plus one end-of-text each, and a tokenizer that comes out the same every time."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, pre_tokenizers

from tamis.base.errors import ConfigError, DataError
from tamis.base.recipe import Recipe
from tamis.base.stage import StageContext
from tamis.stages.tokenize.bpe import MOST_RUN, shortened, train_tokenizer
from tamis.stages.tokenize.stage import Tokenize, build
from tamis.store.location import Location
from tamis.store.tokens import vocab_size

TEXTS = [f"The {a} {b} the {c}.\n\tIt was {a}{b}, café № {i}\u3000日本語 🙂" for i, (a, b, c) in enumerate(
    (a, b, c) for a in ("quick", "slow", "red") for b in ("fox", "dog", "hen") for c in ("barn", "door", "road")
)]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_bytes(train_tokenizer(TEXTS, 320))
    return path


def opened(path: Path, mode: str = "fixed", **settings: str) -> Tokenize:
    recipe = Recipe.parse({"name": "x", "mode": mode, "stages": []}, "")
    [stage] = build({"tokenizer": str(path)} | settings, recipe)
    assert isinstance(stage, Tokenize)
    stage.open(StageContext(seed=0, assets={"tokenizer": Location(path)}))
    return stage


def test_ids_are_the_librarys_with_end_of_text_last(tokenizer: Path) -> None:
    texts = [*TEXTS, "", " ", "\n\n", "a\x00b", "x" * 5000]
    out = opened(tokenizer).apply(pa.record_batch({"text": texts}))
    out.validate(full=True)
    reference = Tokenizer.from_file(str(tokenizer))
    expected = [[*reference.encode(text, add_special_tokens=False).ids, 0] for text in texts]
    assert out.column("token_ids").to_pylist() == expected
    assert out.column("num_tokens").to_pylist() == [len(ids) for ids in expected]
    assert out.schema.field("token_ids").type == pa.list_(pa.int32())
    assert out.schema.field("num_tokens").type == pa.int32()
    told = out.schema.field("token_ids").metadata
    assert told[b"vocab_size"] == str(vocab_size(Location(tokenizer))).encode()
    assert [reference.decode(ids[:-1]) for ids in expected] == texts


def test_an_empty_batch(tokenizer: Path) -> None:
    out = opened(tokenizer).apply(pa.record_batch({"text": pa.array([], pa.string())}))
    assert out.num_rows == 0 and out.schema.names == ["text", "token_ids", "num_tokens"]


def test_a_page_cannot_end_its_document_early(tokenizer: Path) -> None:
    batch = pa.record_batch({"text": ["one<|endoftext|>two"]})
    assert opened(tokenizer).apply(batch).column("token_ids").to_pylist()[0].count(0) == 1
    assert opened(tokenizer, mode="paper").apply(batch).column("token_ids").to_pylist()[0].count(0) == 2


def test_other_end_of_text_tokens(tokenizer: Path) -> None:
    stage = opened(tokenizer, end_of_text="a")
    ids = stage.apply(pa.record_batch({"text": ["one"]})).column("token_ids").to_pylist()[0]
    assert ids[-1] == Tokenizer.from_file(str(tokenizer)).token_to_id("a")
    with pytest.raises(ConfigError, match=r"no token '</s>'"):
        opened(tokenizer, end_of_text="</s>")


def test_wrong_settings_name_the_fix(tmp_path: Path) -> None:
    recipe = Recipe(name="x", stages=[])
    with pytest.raises(ConfigError, match="tamis tokenizer"):
        build({}, recipe)
    with pytest.raises(ConfigError, match=r"tokenize\.tokeniser.*did you mean 'tokenizer'"):
        build({"tokeniser": "x"}, recipe)
    for content in (b"{}", b"[1]", b"\xff\x00", b'{"a": 1', b'{"model": {"vocab": 3}}'):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(ConfigError, match="not a Hugging Face"):
            opened(tmp_path / "broken.json")


def test_the_identity_is_the_files_content_not_its_path(tokenizer: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(tokenizer.read_bytes())
    assert opened(tokenizer).identity() == opened(copy).identity()
    assert opened(tokenizer).identity() != opened(tokenizer, mode="paper").identity()


def test_a_trained_tokenizer_has_end_of_text_then_bytes(tokenizer: Path) -> None:
    made = Tokenizer.from_file(str(tokenizer))
    assert made.token_to_id("<|endoftext|>") == 0
    assert made.get_vocab_size() == 320 == vocab_size(Location(tokenizer))
    nasty = "\x00\x7f  \u00a0\u200b\r\n\ud7ff\U0010ffff é e\u0301"
    assert made.decode(made.encode(nasty).ids) == nasty


def test_training_is_deterministic_in_any_order_with_any_threads() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_tokenize as t;"
        "from tamis.stages.tokenize.bpe import train_tokenizer as f;"
        "sys.stdout.buffer.write(f(sorted(t.TEXTS * 3, reverse=sys.argv[1] == 'r'), 400))"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", code, "fr"[index % 2], str(Path(__file__).parent)],
            env=os.environ | {"RAYON_NUM_THREADS": threads}, check=True, capture_output=True,
        ).stdout
        for index, threads in enumerate(("1", "2", "7"))
    ]  # fmt: skip
    assert made[0] == made[1] == made[2] and len(made[0]) > 1000


def test_training_needs_text_and_room_for_the_bytes() -> None:
    with pytest.raises(ConfigError, match="at least 257"):
        train_tokenizer(TEXTS, 256)
    with pytest.raises(ConfigError, match="no documents"):
        train_tokenizer([], 300)
    assert Tokenizer.from_str(train_tokenizer(["abc"], 1000).decode()).get_vocab_size() == 257


RUNS = {
    "one letter": "a" * 1_000_000,
    "random letters": "".join(random.Random(0).choices("abcdefghij", k=1_000_000)),
    "characters without punctuation": "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA5), k=300_000))),
    "digits": "".join(random.Random(2).choices("0123456789½Ⅷ", k=1_000_000)),
    "signs": "".join(random.Random(3).choices("!?-_\x1c#", k=1_000_000)),
    "blanks": " \t" * 500_000,
}


@pytest.mark.parametrize("name", RUNS)
def test_no_word_is_longer_than_the_limit(name: str) -> None:
    """The training is quadratic in the length of a word."""
    pattern = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    short = shortened(f"{RUNS[name]} and so on {RUNS[name]}")
    words = [place for _, place in pattern.pre_tokenize_str(short)]
    assert max(end - start for start, end in words) <= MOST_RUN + 1
    assert len(short) < 1000 and "and so on" in short
    made = train_tokenizer([f"{RUNS[name]} and so on"] * 2 + TEXTS, 320)
    assert Tokenizer.from_str(made.decode()).token_to_id("<|endoftext|>") == 0


def test_ordinary_text_is_used_whole() -> None:
    for text in [*TEXTS, "x" * MOST_RUN, "https://a.example/" + "/".join(["path"] * 200), "\n" * MOST_RUN]:
        assert shortened(text) == text


def test_a_training_can_be_interrupted_and_tells_how_far_it_is() -> None:
    """The library would not return before the texts end, and these never do."""
    seen: list[tuple[int, str]] = []

    def interrupt(done: int, unit: str) -> None:
        seen.append((done, unit))
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tokenizer(itertools.cycle(TEXTS), 320, interrupt)
    assert seen[-1][0] > 10 and {unit for _, unit in seen} == {"texts"}


def test_what_goes_wrong_while_texts_are_read_is_raised() -> None:
    def broken() -> Iterator[str]:
        yield "a text"
        raise DataError("a damaged shard")

    with pytest.raises(DataError, match="a damaged shard"):
        train_tokenizer(broken(), 320)
