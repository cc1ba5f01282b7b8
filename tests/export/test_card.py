"""The dataset card: front matter that the Hub accepts, counts that balance, and nothing of the machine in it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from exported_runs import export_run, run_recipe

from tamis.export.layouts import LAYOUTS
from tamis.export.schema import MOST_FIELDS, feature_list, kind_of, merged, merged_fields, readable
from tamis.store.rundir import RunDir


def front_matter(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_front_matter_is_one_that_the_hub_reads(exports: dict[str, Path], name: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(exports[name] / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "unknown" and data["language"] == ["en"]
    assert data["size_categories"] == ["n<1K"] and data["task_categories"] == ["text-generation"]
    assert data["pretty_name"] == "mine" and "tamis" in data["tags"]
    (config,) = data["configs"]
    assert config["data_files"] == [{"split": "train", "path": f"{LAYOUTS[name].folder}/train-*"}]
    assert data["dataset_info"]["splits"][0]["num_examples"] == 27
    datasets = pytest.importorskip("datasets")
    info = datasets.DatasetInfo._from_yaml_dict(data["dataset_info"])
    assert info.splits["train"].num_examples == 27
    assert (info.features is None) == (name == "parquet"), "Parquet files state their own columns"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {"license": "unknown"}), ("ODC-BY", {"license": "odc-by"}),
        ("my own licence: ask", {"license": "other", "license_name": "my own licence: ask"}),
    ],
)  # fmt: skip
def test_the_licence_is_the_one_that_is_stated(
    run: RunDir, tmp_path: Path, given: str | None, expected: dict[str, str]
) -> None:
    export_run(run, tmp_path, "parquet", licence=given)
    found = front_matter(tmp_path)
    assert {name: found[name] for name in ("license", "license_name") if name in found} == expected
    text = (tmp_path / "README.md").read_text().partition("## Licence")[2]
    assert ("Common Crawl's terms of use" in text) == (given is None)
    assert given is None or given in text


def test_the_counts_on_the_card_are_those_of_the_run(run: RunDir, exports: dict[str, Path]) -> None:
    text = (exports["dclm"] / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|" + r" ([\d,]+) \|" * 6 + "$", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(run.steps())
    for row, (_, card) in zip(rows, run.cards(), strict=True):
        entered, kept, removed, quarantined, *sizes = (int(cell.replace(",", "")) for cell in row[1:])
        assert entered == kept + removed + quarantined
        counts = card.accounting
        assert counts is not None
        assert (entered, kept) == (counts.rows_in, counts.kept) and sizes == [counts.bytes_in, counts.kept_bytes]
        assert card.fingerprint in text
    assert "unwanted 1" in text and "bad_json (quarantined) 1" in text and "| en | 27 |" in text
    assert "No step compared these documents with evaluation data" in text


def test_the_recipe_is_on_the_card_without_the_folders_of_the_machine(run: RunDir, exports: dict[str, Path]) -> None:
    text = (exports["dclm"] / "README.md").read_text()
    recipe = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.S)[0])
    assert recipe["pool"]["inputs"] == ["a.jsonl", "b.jsonl", "c.warc.gz"] and recipe["name"] == "mine"
    assert [next(iter(stage)) for stage in recipe["stages"]] == ["extract", "filter", "dedup", "filter"]
    assert str(run.workspace.root.parent) not in text


def test_decontamination_is_told(tmp_path: Path) -> None:
    (tmp_path / "held.jsonl").write_text('{"text": "' + " ".join(f"word{n}" for n in range(40)) + '"}\n')
    run = run_recipe(
        tmp_path, stages=[{"extract": {}}, {"decontaminate": {"reference": [str(tmp_path / "held.jsonl")]}}]
    )
    export_run(run, tmp_path / "data", "parquet")
    assert (
        "The step `03_decontaminate` compared 30 documents with evaluation data"
        in (tmp_path / "data" / "README.md").read_text()
    )


# The fields of JSON records.


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 0.5, "float64"), (None, "x", "string"), (True, 1, "json"), ("x", [1], "json"), ([], [1], {"list": "int64"}),
        ([1], [0.5, None], {"list": "float64"}), ([1, "x"], [], {"list": "json"}),
        ({}, {"a": 1}, {"struct": {"a": "int64"}}),
        ({"a": 1}, {"b": {"c": None}}, {"struct": {"a": "int64", "b": {"struct": {"c": "null"}}}}),
        ({"a": 1}, {"a": "x"}, {"struct": {"a": "json"}}), ({"a": 1}, [1], "json"), (None, None, "null"),
    ],
)  # fmt: skip
def test_kinds_are_merged_in_either_order(one: Any, other: Any, expected: Any) -> None:
    assert merged(kind_of(one), kind_of(other)) == expected
    turned = merged(kind_of(other), kind_of(one))
    assert turned == expected
    assert merged(turned, kind_of(one)) == turned


def test_objects_that_are_dictionaries_or_deep_are_json() -> None:
    assert kind_of({str(n): n for n in range(MOST_FIELDS + 1)}) == "json"
    halves = [kind_of({f"{part}{n}": n for n in range(MOST_FIELDS - 1)}) for part in "ab"]
    assert merged(*halves) == "json"
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    assert kind_of(deep) == {"list": {"list": {"list": {"list": "json"}}}}


def test_features_are_those_of_datasets() -> None:
    features = pytest.importorskip("datasets").Features
    fields = merged_fields(
        {"text": "string", "flag": "bool", "n": "int64", "empty": "null"},
        {"names": {"list": "string"},
         "who": {"struct": {"age": "int64", "pets": {"list": {"struct": {"x": "float64"}}}}},
         "grid": {"list": {"list": "int64"}}, "any": "json"},
    )  # fmt: skip
    found = features._from_yaml_list(feature_list(fields))
    schema = {item.name: str(item.type) for item in found.arrow_schema}
    assert schema["names"] == "list<item: string>" and schema["grid"] == "list<item: list<item: int64>>"
    assert schema["who"] == "struct<age: int64, pets: list<item: struct<x: double>>>" and schema["empty"] == "string"


def test_integers_that_readers_refuse_become_strings() -> None:
    record = {"a": 2**63 - 1, "b": [2**63, {"c": -(2**63) - 1}], "text": "9" * 30, "d": -(2**63)}
    found, data = readable(record)
    assert found == {"a": 2**63 - 1, "b": [str(2**63), {"c": str(-(2**63) - 1)}], "text": "9" * 30, "d": -(2**63)}
    assert data.endswith(b"\n") and str(2**63).encode() in data
