"""Recall and precision of a dedup method, on documents whose duplicates are known.

    python bench/dedup_truth.py --docs D.jsonl.zst --truth T.jsonl --pairs P.jsonl --method minhash
                                [--boilerplate B.json] [--set bands=9 --set rows=13 ...] [--workers 2]

`--method` is one of Tamis's (run as a recipe `pool -> dedup` through the package, settings with --set) or a peer's on
the same file, where it is installed: `datasketch`, `datatrove` (MinHash, 14 x 8, word 5-grams), `dolma` (Bloom filter
over 13-grams; --dolma is a Python that has it).

D: `{id, text, url}`. T: `{id, cluster, kind, rate, base_id, base_id2}`; kinds: base, exact, mutated (share `rate` of
words replaced), boilerplate (shares paragraphs with its `bp_group`, listed in B), concat (of two others).
P: `{a, b, jaccard5, containment5}`, the pairs with word-5-gram Jaccard >= 0.10 or containment >= 0.50.

Per kind and rate: `recall`, the share of copies that are found. Where a method names the survivor of each removed
document, a copy is found if it and its base have the same survivor; otherwise, among the copies that come after their
base, a copy is found if it loses at least half of its text. `removed`: share of documents that are removed as a whole.
`text_kept`: share of characters that are kept. `precision`: share of the documents removed as a whole that have another
document in their cluster, or one with a word-5-gram containment >= 0.8. `own_text_kept`: for documents with shared
boilerplate, the share that is kept of the text that they do not share. The last line is one JSON object.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
import zstandard
from dedup_peers import (
    datasketch_duplicates,
    datatrove_duplicates,
    dolma_left,
    fastsketch_duplicates,
    rensa_duplicates,
    textdedup_duplicates,
)

from tamis import flow
from tamis.commands import Session, run_recipe
from tamis.store.location import Location
from tamis.store.workspace import open_workspace

Texts = dict[str, str]
"""id -> text."""
Survivors = dict[str, str]
"""id -> id of the document that stayed in its place."""
PEERS: dict[str, Callable[[Texts], set[str]]] = {
    "datasketch": datasketch_duplicates,
    "datatrove": datatrove_duplicates,
    "rensa": rensa_duplicates,
    "fastsketch": fastsketch_duplicates,
    "text-dedup": textdedup_duplicates,
}
CONTAINED, ALIKE = 0.8, 0.8


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as raw:
        stream = zstandard.ZstdDecompressor().stream_reader(raw) if path.suffix == ".zst" else raw
        for line in io.TextIOWrapper(stream, "utf-8", newline="\n"):  # type: ignore[arg-type]
            yield json.loads(line)


def run_tamis(
    docs: Path, settings: dict[str, Any], workers: int, folder: Path
) -> tuple[Texts, Survivors | None, dict[str, Any]]:
    """What is left of every document (nothing of removed ones), who survived for whom, and the decision's details."""
    raw = {"name": "dedup-truth", "stages": [{"dedup": settings}]}
    session = Session(
        workspace=open_workspace(Location(folder / "runs")), num_workers=workers, on_event=lambda event: None
    )
    run = run_recipe(session, flow.compile_run("dedup-truth", flow.resolve(raw, [str(docs)])))
    stage = run.stage("02_dedup").root.path
    kept = [row for path in sorted((stage / "shards").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    gone = [row for path in sorted((stage / "removed").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    given = {row["id"]: json.loads(row["extra"])["id"] for row in kept + gone}
    survivors = None
    if gone and "duplicate_of" in gone[0]:
        survivors = {given[row["id"]]: given.get(row["duplicate_of"] or row["id"], "") for row in kept + gone}
    card = dict(run.cards())["02_dedup"]
    details = {"counts": card.to_dict()["counts"]} | card.details.get("decisions", {})
    return {given[row["id"]]: row["text"] for row in kept}, survivors, details


def run_peer(name: str, texts: Texts) -> Texts:
    duplicates = PEERS[name](texts)
    return {key: text for key, text in texts.items() if key not in duplicates}


def parse_settings(method: str, assignments: list[str]) -> dict[str, Any]:
    pairs = (assignment.partition("=") for assignment in assignments)
    return {"method": method} | {name: yaml.safe_load(value) for name, _, value in pairs}


def by_kind(
    texts: Texts, left: Texts, survivors: Survivors | None, truth: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    order = {key: place for place, key in enumerate(texts)}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in truth:
        groups[one["kind"] if one["rate"] is None or one["kind"] == "exact" else f"{one['kind']} {one['rate']}"].append(
            one
        )
    out = {}
    for name in sorted(groups):
        members = groups[name]
        row: dict[str, Any] = {
            "documents": len(members),
            "removed": sum(m["id"] not in left for m in members),
            "text_kept": ratio(
                sum(len(left.get(m["id"], "")) for m in members), sum(len(texts[m["id"]]) for m in members)
            ),
        }
        found = [caught for m in members if (caught := _found(m, order, texts, left, survivors)) is not None]
        if found:
            row["recall"] = ratio(sum(found), len(found))
        out[name] = row
    return out


def _found(
    copy: dict[str, Any], order: dict[str, int], texts: Texts, left: Texts, survivors: Survivors | None
) -> bool | None:
    """Whether the copy was found; None for what is no copy, or comes before its base where only the text can tell."""
    key, base = copy["id"], copy.get("base_id")
    if not base:
        return None
    if survivors is not None:
        return survivors[key] == survivors[base]
    return len(left.get(key, "")) <= len(texts[key]) / 2 if order[base] < order[key] else None


def precision(left: Texts, truth: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of documents removed whole: with another of their cluster, or one that holds them (or they it)."""
    cluster = {one["id"]: one["cluster"] for one in truth}
    sizes: dict[str, int] = defaultdict(int)
    for name in cluster.values():
        sizes[name] += 1
    held = {key for p in pairs if p["containment5"] >= CONTAINED for key in (p["a"], p["b"])}
    removed = [key for key in cluster if key not in left]
    right = [key for key in removed if sizes[cluster[key]] > 1 or key in held]
    alive = {cluster[key] for key in left}
    return {
        "removed": len(removed),
        "precision": ratio(len(right), len(removed)),
        "clusters_lost_whole": len(sizes.keys() - alive),
    }


def alike(texts: Texts, left: Texts, survivors: Survivors | None, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """By exact similarity of at least ALIKE: removed documents that are like some document that stayed, and (where the
    method names it) like the one named; documents that a perfect method removes, which goes through them in order and
    keeps what is unlike all it kept; and documents that stayed although they are like another that did."""
    near: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair["jaccard5"] >= ALIKE:
            near[pair["a"]].add(pair["b"])
            near[pair["b"]].add(pair["a"])
    removed = [key for key in texts if key not in left]
    kept = set[str]()
    for key in texts:
        if not near[key] & kept:
            kept.add(key)
    found: dict[str, Any] = {
        "removed_like_a_kept_one": sum(not near[key].isdisjoint(left) for key in removed),
        "perfect_removals": len(texts) - len(kept),
        "kept_like_another": sum(not near[key].isdisjoint(left.keys() - {key}) for key in left),
    }
    if survivors is not None:
        found["removed_like_the_named_one"] = sum(survivors[key] in near[key] for key in removed)
    return found


def own_text(texts: Texts, left: Texts, truth: list[dict[str, Any]], boilerplate: Path) -> dict[str, float]:
    """Of boilerplate sharers, by characters: lines of their own that are left, shared lines that are gone."""
    shared = {
        line for group in json.loads(boilerplate.read_text()) for p in group["paragraphs"] for line in p.split("\n")
    }
    own = kept = copies = cut = 0
    for one in truth:
        if one["kind"] != "boilerplate":
            continue
        remaining = left.get(one["id"], "")
        for line in filter(None, texts[one["id"]].split("\n")):
            here = len(line) if line in remaining else 0
            if line in shared:
                copies, cut = copies + len(line), cut + len(line) - here
            else:
                own, kept = own + len(line), kept + here
    return {"own_text_kept": ratio(kept, own), "boilerplate_cut": ratio(cut, copies)}


def ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("docs", "truth", "pairs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--boilerplate", type=Path)
    parser.add_argument("--method", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dolma", type=Path, help="a Python in which dolma is installed")
    options = parser.parse_args()
    texts = {document["id"]: document["text"] for document in read_lines(options.docs)}
    truth, pairs = list(read_lines(options.truth)), list(read_lines(options.pairs))
    started = time.perf_counter()
    survivors, details = None, {}
    if options.method == "dolma":
        left = dolma_left(options.dolma, texts)
    elif options.method in PEERS:
        left = run_peer(options.method, texts)
    else:
        with tempfile.TemporaryDirectory() as folder:
            settings = parse_settings(options.method, options.settings)
            left, survivors, details = run_tamis(options.docs, settings, options.workers, Path(folder))
    result: dict[str, Any] = {"method": options.method, "settings": options.settings, "documents": len(texts)}
    result |= {"seconds": round(time.perf_counter() - started, 1)} | precision(left, truth, pairs)
    result |= alike(texts, left, survivors, pairs)
    if options.boilerplate:
        result |= own_text(texts, left, truth, options.boilerplate)
    result["kinds"] = by_kind(texts, left, survivors, truth)
    for name, row in result["kinds"].items():
        print(f"{name:16}" + "  ".join(f"{key} {value}" for key, value in row.items()), file=sys.stderr)
    print(json.dumps(result | {"details": details}))


if __name__ == "__main__":
    main()
