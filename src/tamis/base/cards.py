"""Cards: the small JSON identity of every artefact, and its accounting (`in = kept + removed + quarantined`)."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tamis.base.errors import TamisError


@dataclass(kw_only=True)
class Counts:
    """Numbers of rows, and of UTF-8 bytes of their texts, that went through one stage: `removed` by reason,
    `quarantined` by kind of error.

    Bytes are those of the text as it entered the stage, except for `kept_bytes`, which are those of the text as it left
    the stage.
    """

    rows_in: int = 0
    kept: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    bytes_in: int = 0
    kept_bytes: int = 0
    removed_bytes: Counter[str] = field(default_factory=Counter)
    quarantined_bytes: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Counts") -> None:
        self.rows_in += other.rows_in
        self.kept += other.kept
        self.bytes_in += other.bytes_in
        self.kept_bytes += other.kept_bytes
        for name in ("removed", "quarantined", "removed_bytes", "quarantined_bytes"):
            getattr(self, name).update(getattr(other, name))

    def check(self, where: str) -> None:
        """Raises TamisError unless the accounting balances: no row may be lost without a record of it."""
        out = self.kept + self.removed.total() + self.quarantined.total()
        if out != self.rows_in:
            raise TamisError(
                f"{where}: the accounting does not balance: {self.rows_in} rows in, {out} accounted for "
                f"({self.kept} kept, {self.removed.total()} removed, {self.quarantined.total()} quarantined). "
                "This is a defect in a stage; nothing was published."
            )

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": {
                "in": self.rows_in,
                "kept": self.kept,
                "removed": dict(sorted(self.removed.items())),
                "quarantined": dict(sorted(self.quarantined.items())),
            },
            "text_bytes": {
                "in": self.bytes_in,
                "kept": self.kept_bytes,
                "removed": dict(sorted(self.removed_bytes.items())),
                "quarantined": dict(sorted(self.quarantined_bytes.items())),
            },
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Counts":
        rows, text = data["counts"], data["text_bytes"]
        return cls(
            rows_in=rows["in"], kept=rows["kept"],
            removed=Counter(rows["removed"]), quarantined=Counter(rows["quarantined"]),
            bytes_in=text["in"], kept_bytes=text["kept"],
            removed_bytes=Counter(text["removed"]), quarantined_bytes=Counter(text["quarantined"]),
        )  # fmt: skip


@dataclass(kw_only=True)
class Card:
    """Identity of one artefact: a stage's output, a checkpoint, an evaluation, a comparison.

    `fingerprint` covers everything the artefact depends on; `parents` are the fingerprints it was made from. A card
    holds no times and no host names, so that equal work gives equal bytes; these are in events.jsonl and
    provenance.json.
    """

    kind: str
    name: str
    version: int
    fingerprint: str
    parents: list[str]
    config: dict[str, Any]
    tamis_version: str
    seed: int = 0
    accounting: Counts | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """Further facts about the artefact: rules, histograms, examples, sizes, thresholds or scores."""

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("kind", "name", "version", "fingerprint", "parents", "config", "tamis_version", "seed")
        }
        if self.accounting is not None:
            out |= self.accounting.to_dict()
        return out | {"details": self.details}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Card":
        accounting = Counts.from_dict(data) if "counts" in data else None
        return cls(accounting=accounting, **{k: v for k, v in data.items() if k not in ("counts", "text_bytes")})
