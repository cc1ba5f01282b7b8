"""The plan of a recipe: columns that are made again, pages without text, passes, and what the fingerprints cover."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from harness import plan_of
from toy import Measure, Shout, ToyPool, Unique, toy_docs, toy_recipe

from tamis.base.errors import ConfigError
from tamis.base.recipe import OutputConfig
from tamis.base.stage import InputShard, Stage
from tamis.runner.plan import Plan, make_plan
from tamis.store.atomic import write_json
from tamis.store.location import Location


class Thrice(Measure):
    """The signal of `measure` under a second name."""

    name = "thrice"


class Seen(Measure):
    """Notes which columns are there when the plan is made."""

    name = "seen"

    def check_columns(self, present: Mapping[str, pa.DataType]) -> None:
        super().check_columns(present)
        self.present = set(present)


class AddsUrl(Measure):
    """Adds a column that every pool has."""

    adds = pa.schema([("url", pa.string())])


class Pages(ToyPool):
    """A pool whose second shard holds pages of HTML."""

    def holds_pages(self, shard: InputShard) -> bool:
        return shard.name == "s1"


class WithList(Measure):
    """Reads a file."""

    class Settings(Measure.Settings):
        words: str = ""

    config: Settings

    def assets(self) -> dict[str, str]:
        return {"words": self.config.words}


def toy_pool(num_shards: int = 2) -> ToyPool:
    return ToyPool(ToyPool.Settings(shards=toy_docs(num_shards, 10)))


def toy_stages() -> list[Stage]:
    return [Shout(Shout.Settings()), Measure(Measure.Settings()), Unique(Unique.Settings()), Thrice(Measure.Settings())]


def labels(plan: Plan) -> list[tuple[list[str], str | None, str | None]]:
    """Of every pass: its steps, the step that it reads, and the group that it feeds."""
    return [
        (
            [step.label[3:] for step in each.steps],
            each.reads.label[3:] if each.reads else None,
            each.sketch.label[3:] if each.sketch else None,
        )
        for each in plan.passes
    ]


def test_a_column_made_three_times_keeps_all_values_under_the_numbers_of_their_steps() -> None:
    last = Seen(Measure.Settings())
    plan = plan_of(toy_pool(), [Shout(Shout.Settings()), Measure(Measure.Settings()), Thrice(Measure.Settings()), last])
    assert [step.renames for step in plan.steps[2:]] == [
        {}, {"num_chars": "num_chars_03"}, {"num_chars": "num_chars_04"}
    ]  # fmt: skip
    assert {"num_chars", "num_chars_03"} <= last.present and "num_chars_04" not in last.present
    assert "content" not in last.present, "shout drops it"


def test_a_stage_cannot_replace_a_column_of_the_pool() -> None:
    with pytest.raises(ConfigError, match="it adds the column 'url', which every pool has"):
        plan_of(toy_pool(), [AddsUrl(Measure.Settings())])


def test_text_of_pages_is_read_only_where_a_stage_makes_it() -> None:
    pool = Pages(toy_pool().config)
    with pytest.raises(ConfigError, match=r"pages of HTML \(s1\).*Add - extract before 'measure'"):
        plan_of(pool, [Measure(Measure.Settings())])
    plan_of(pool, [Shout(Shout.Settings()), Measure(Measure.Settings())])
    plan_of(toy_pool(), [Measure(Measure.Settings())])


def test_a_pass_begins_at_each_group_and_at_each_cut() -> None:
    plan = make_plan(toy_recipe(), toy_pool(), toy_stages(), toy_pool().shards(), cuts=[1])
    assert labels(plan) == [
        (["pool", "shout"], None, None), (["measure"], "shout", "unique"), (["unique", "thrice"], "measure", None)
    ]  # fmt: skip
    assert [each.number for each in plan.passes] == [1, 2, 3]
    assert [step.label for step in plan.steps] == ["01_pool", "02_shout", "03_measure", "04_unique", "05_thrice"]
    assert [step.needs_corpus for step in plan.steps] == [False, False, False, True, True]


def test_what_is_not_after_a_group_does_not_depend_on_the_other_shards() -> None:
    one, two = (plan_of(toy_pool(size), toy_stages()) for size in (1, 2))
    (shard,) = one.shards
    same = [
        one.task_fingerprint(here, shard) == two.task_fingerprint(there, shard)
        for here, there in zip(one.steps, two.steps, strict=True)
    ]
    assert same == [True, True, True, False, False]
    assert [here.fingerprint == there.fingerprint for here, there in zip(one.steps, two.steps, strict=True)] == [
        True
    ] * 5
    assert not {step.artefact for step in one.steps} & {step.artefact for step in two.steps}
    assert one.decide_fingerprint(one.steps[3], 0, 0) != two.decide_fingerprint(two.steps[3], 0, 0)
    assert one.decide_fingerprint(one.steps[3], 0, 0) != one.decide_fingerprint(one.steps[3], 0, 1)
    assert one.decide_fingerprint(one.steps[3], 0, 0) != one.decide_fingerprint(one.steps[3], 1, 0)
    first, _ = one.passes
    assert one.sketch_fingerprint(first, shard) == two.sketch_fingerprint(two.passes[0], shard)
    assert one.key != two.key


def test_the_compression_of_the_output_concerns_the_last_step_alone() -> None:
    plain, packed = (
        plan_of(toy_pool(), toy_stages(), output=OutputConfig(jsonl=jsonl)) for jsonl in ("", "gz")
    )  # fmt: skip
    artefacts = [[step.artefact for step in plan.steps] for plan in (plain, packed)]
    assert artefacts[0][:-1] == artefacts[1][:-1] and artefacts[0][-1] != artefacts[1][-1]
    shard = plain.shards[0]
    same = [
        plain.task_fingerprint(here, shard) == packed.task_fingerprint(there, shard)
        for here, there in zip(plain.steps, packed.steps, strict=True)
    ]
    assert same == [True, True, True, True, False]


def test_the_bytes_of_an_asset_are_in_the_fingerprint(tmp_path: Path) -> None:
    place = tmp_path / "words.txt"

    def fingerprint(text: str) -> str:
        place.write_text(text)
        return plan_of(toy_pool(), [WithList(WithList.Settings(words=str(place)))]).steps[-1].fingerprint

    first = fingerprint("one")
    assert fingerprint("three") != first == fingerprint("one")


def test_an_asset_lies_on_the_disk_in_a_store_or_in_another_node(tmp_path: Path, memory: str) -> None:
    def fingerprint(place: str, words: list[str]) -> str:
        write_json(Location(place), words)
        return plan_of(toy_pool(), [WithList(WithList.Settings(words=place))]).steps[-1].fingerprint

    remote = f"{memory}/words.json"
    first = fingerprint(remote, ["one"])
    assert fingerprint(remote, ["one", "two"]) != first == fingerprint(remote, ["one"])
    missing = WithList(WithList.Settings(words=str(tmp_path / "none.txt")))
    with pytest.raises(ConfigError, match=r"measure\.words: the file .*none\.txt does not exist"):
        plan_of(toy_pool(), [missing])
    bound = [plan_of(toy_pool(), [WithList(WithList.Settings(words=f"artefact:words-{n}/w.txt"))]) for n in (1, 2)]
    assert bound[0].steps[-1].fingerprint != bound[1].steps[-1].fingerprint
