"""The dataset card of an export: README.md as the Hugging Face Hub expects it, with the accounting and the recipe.

The same run gives the same card: it holds no times and no names of machines, and of local paths only the last part.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tamis import __version__
from tamis.base.cards import Card
from tamis.base.yaml_text import dump_yaml
from tamis.export.loading import examples
from tamis.export.plan import ExportPlan
from tamis.export.schema import MOST_FIELDS, Kind, feature_list, merged_fields
from tamis.export.written import WrittenFile

UNKNOWN = "unknown"
LICENCES = frozenset(
    ("apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
     "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "odc-by", "odbl", "pddl", "gfdl",
     "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "c-uda", "bsd-3-clause", "gpl-3.0", UNKNOWN,
     "other")
)  # fmt: skip
"""Licences for data that the Hub knows by these names; any other is `other` with a `license_name`."""
UNKNOWN_LICENCE = (
    "No licence was stated for this export (`tamis export … --license NAME` states one). The texts belong to the "
    "publishers of the pages. Pages that come from Common Crawl are subject to "
    "[Common Crawl's terms of use](https://commoncrawl.org/terms-of-use), which whoever uses them has to follow."
)
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"), (10_000_000_000, "1B<n<10B"),
    (100_000_000_000, "10B<n<100B"), (1_000_000_000_000, "100B<n<1T"),
)  # fmt: skip
_MOST_LANGUAGES = 50


def card_text(plan: ExportPlan, files: Sequence[WrittenFile]) -> str:
    """README.md."""
    parts = [
        f"---\n{dump_yaml(front_matter(plan, files))}---\n",
        _opening(plan, files),
        _loading(plan),
        _accounting(plan),
        _languages(files),
        _decontamination(plan),
        _provenance(plan),
        _licence(plan),
    ]
    return "\n".join(part for part in parts if part)


def checksums_text(files: Sequence[WrittenFile]) -> str:
    """SHA256SUMS, as `sha256sum` writes it."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in files)


def front_matter(plan: ExportPlan, files: Sequence[WrittenFile]) -> dict[str, Any]:
    """The metadata of the card, in the Hub's order."""
    licence = (plan.options.licence or UNKNOWN).strip()
    known = licence.lower() in LICENCES
    languages = [name for name, _ in _counted_languages(files) if name]
    documents = sum(file.documents for file in files)
    matter: dict[str, Any] = {"license": licence.lower() if known else "other"}
    if not known:
        matter["license_name"] = licence
    if languages:
        matter["language"] = sorted(languages)
    split = {"name": "train", "num_bytes": sum(file.text_bytes for file in files), "num_examples": documents}
    info: dict[str, Any] = {"splits": [split], "download_size": sum(file.bytes for file in files)}
    if plan.layout.record is not None and len(fields := _fields(files)) <= MOST_FIELDS:
        info = {"features": feature_list(fields)} | info
    return matter | {
        "size_categories": [next((name for most, name in _SIZES if documents < most), "n>1T")],
        "task_categories": ["text-generation"],
        "pretty_name": plan.source,
        "tags": ["pretraining", "web", "tamis"],
        "configs": [{
            "config_name": "default",
            "data_files": [{"split": "train", "path": f"{plan.layout.folder}/train-*"}],
        }],
        "dataset_info": info,
    }  # fmt: skip


def _fields(files: Sequence[WrittenFile]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for file in files:
        found = merged_fields(found, file.fields)
    return found


def _opening(plan: ExportPlan, files: Sequence[WrittenFile]) -> str:
    documents, text = sum(file.documents for file in files), sum(file.text_bytes for file in files)
    return (
        f"# {plan.source}\n\n"
        f"{documents:,} documents with {text:,} bytes of text (UTF-8), in {len(files):,} files: what the step "
        f"`{plan.step}` of the run `{plan.source}` kept. Made with "
        f"[Tamis](https://pypi.org/project/tamis/) {__version__}, exported in the format `{plan.layout.name}`. "
        "`SHA256SUMS` has the checksum of every file; check them with `sha256sum --check SHA256SUMS`.\n"
    )


def _loading(plan: ExportPlan) -> str:
    blocks = "\n".join(f"```python\n{text}```\n" for text in examples(plan))
    return f"## How to load it\n\nIn the folder of this file:\n\n{blocks}"


def _accounting(plan: ExportPlan) -> str:
    rows = [
        "| step | documents in | kept | removed | quarantined | bytes of text in | kept |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    reasons = []
    for step, card in _cards(plan):
        counts = card.accounting
        if counts is None:
            continue
        numbers = (
            counts.rows_in, counts.kept, counts.removed.total(), counts.quarantined.total(), counts.bytes_in,
            counts.kept_bytes,
        )  # fmt: skip
        rows.append(f"| `{step}` | " + " | ".join(f"{number:,}" for number in numbers) + " |")
        lost = counts.removed + Counter({f"{kind} (quarantined)": n for kind, n in counts.quarantined.items()})
        told = ", ".join(f"{_plain(reason)} {count:,}" for reason, count in lost.most_common())
        reasons += [f"- `{step}`: {told}"] if told else []
    why = "Documents removed, by reason:\n\n" + "\n".join(reasons) + "\n" if reasons else "No document was removed.\n"
    return (
        "## Accounting\n\nAt every step, documents in = kept + removed + quarantined (could not be processed).\n\n"
        + "\n".join(rows)
        + f"\n\n{why}"
    )


def _plain(reason: str) -> str:
    """A reason without the characters that Markdown reads."""
    return "".join(letter if letter not in "|<>`*[]" and letter.isprintable() else " " for letter in reason)


def _counted_languages(files: Sequence[WrittenFile]) -> list[tuple[str, int]]:
    total = Counter[str]()
    for file in files:
        total.update(file.languages)
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def _languages(files: Sequence[WrittenFile]) -> str:
    found = _counted_languages(files)
    if not found:
        return ""
    rows = [f"| {name or 'not recognised'} | {count:,} |" for name, count in found[:_MOST_LANGUAGES]]
    if left := found[_MOST_LANGUAGES:]:
        rows.append(f"| {len(left)} others | {sum(count for _, count in left):,} |")
    return "## Languages\n\n| language | documents |\n|---|--:|\n" + "\n".join(rows) + "\n"


def _decontamination(plan: ExportPlan) -> str:
    told = []
    for step, card in _cards(plan):
        if card.name == "decontaminate" and card.accounting is not None:
            assets = card.details.get("assets", {})
            against = ", ".join(f"`{name}` ({mark})" for name, mark in sorted(assets.items())) or "its reference"
            told.append(
                f"The step `{step}` compared {card.accounting.rows_in:,} documents with evaluation data, {against}, "
                f"and removed {card.accounting.removed.total():,}."
            )
    text = "\n".join(told) or (
        "No step compared these documents with evaluation data: texts of benchmarks may be among them."
    )
    return f"## Decontamination\n\n{text}\n"


def _provenance(plan: ExportPlan) -> str:
    rows = [
        f"| `{step}` | {card.version} | {card.seed} | {card.tamis_version} | `{card.fingerprint}` |"
        for step, card in _cards(plan)
    ]
    recipe = dump_yaml(_without_folders(plan.run.read_recipe()))
    return (
        "## How it was made\n\nA fingerprint covers all that decides the bytes of a step: the version of its code, its "
        "settings, the files that it used and what it was made from.\n\n"
        "| step | version | seed | Tamis | fingerprint |\n|---|--:|--:|---|---|\n"
        + "\n".join(rows)
        + "\n\nThe recipe, with every default; of local paths, only the last part is shown:\n\n"
        + f"```yaml\n{recipe}```\n"
    )


def _without_folders(value: Any) -> Any:
    """Settings in which a path of a machine is only its last part: the rest tells about the machine alone."""
    if isinstance(value, dict):
        return {name: _without_folders(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and value.startswith(("/", "~", "file://", ".")) and "/" in value:
        return PurePosixPath(value).name
    return value


def _licence(plan: ExportPlan) -> str:
    licence = (plan.options.licence or UNKNOWN).strip()
    stated = UNKNOWN_LICENCE if licence.lower() == UNKNOWN else f"{licence}, as stated by whoever exported the data."
    return f"## Licence\n\n{stated}\n"


def _cards(plan: ExportPlan) -> list[tuple[str, Card]]:
    """The steps up to the one that is exported."""
    cards = plan.run.cards()
    last = [step for step, _ in cards].index(plan.step)
    return cards[: last + 1]
