"""Twin of `dedup.bloom` and `dedup.bloom_spans`: BFF's rules, text after text, with a set for a filter."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from tamis.kernels.reference.text.uax_tokens import uax_tokens

Mode = Literal["old-both", "paragraph", "document", "substring"]
Interval = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`spans` (in bytes) are cut; `duplicate` says that the whole document is removed."""

    contained: int
    total: int
    duplicate: bool
    spans: list[Interval]


@dataclass(kw_only=True)
class Bff:
    """Settings, and the n-grams seen so far."""

    mode: Mode = "old-both"
    size: int = 13
    least: int = 13
    threshold: float = 0.8
    least_tokens: int = 50
    seen: set[tuple[bytes, ...]] = field(default_factory=set)

    def judge(self, text: str) -> Verdict:
        """The next document."""
        data = text.encode()
        if self.mode == "substring":
            return self._substrings(data)
        cuts = [0, len(data)]
        if self.mode != "document":
            cuts[1:1] = [at for at, byte in enumerate(data) if byte == 0x0A]
        contained = total = 0
        spans = []
        for start, end in pairwise(cuts):
            grams = self._ngrams(_tokens(data[start:end]))
            found = sum(gram in self.seen for gram in grams)
            contained, total = contained + found, total + len(grams)
            if grams and found / len(grams) > self.threshold:
                spans.append((start, end))
            else:
                self.seen.update(grams)
        whole = self.mode != "paragraph" and total > 0 and contained / total > self.threshold
        return Verdict(contained=contained, total=total, duplicate=whole, spans=spans)

    def _ngrams(self, tokens: list[bytes]) -> list[tuple[bytes, ...]]:
        if self.least <= len(tokens) < self.size:
            return [tuple(tokens)]
        return [tuple(tokens[at : at + self.size]) for at in range(len(tokens) - self.size + 1)]

    def _substrings(self, data: bytes) -> Verdict:
        tokens = _tokens(data)
        places = [start for _, start, _ in uax_tokens(data.decode())] + [len(data)]
        grams = [tuple(tokens[at : at + self.size]) for at in range(len(tokens) - self.size + 1)]
        found = [at for at, gram in enumerate(grams) if gram in self.seen]
        runs = _merged([(at, at + self.size) for at in found])
        joined = _fuzzy(runs, self.threshold)
        last = [_fuzzy(runs[at:], self.threshold, backward=True) for at in range(len(runs))]
        joined = _merged(sorted(joined + next((spans for spans in last if spans), [])))
        gone = [(start, end) for start, end in joined if end - start >= self.least_tokens]
        edges = [0, *(edge for interval in gone for edge in interval), len(tokens)]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            self.seen.update(grams[at] for at in range(start, end - self.size + 1))
        spans = [(places[start], places[end]) for start, end in gone]
        return Verdict(contained=len(found), total=len(grams), duplicate=False, spans=spans)


def _tokens(data: bytes) -> list[bytes]:
    return [data[start:end] for _, start, end in uax_tokens(data.decode())]


def _merged(intervals: list[Interval]) -> list[Interval]:
    out: list[Interval] = []
    for start, end in intervals:
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _fuzzy(runs: list[Interval], threshold: float, backward: bool = False) -> list[Interval]:
    """Neighbours joined while at least `threshold` of the whole is covered. `backward`: all of `runs` as one interval
    if going back from the last one joins them all, else nothing."""
    if backward:
        for at in range(len(runs) - 2, -1, -1):
            if sum(b - a for a, b in runs[at:]) < (runs[-1][1] - runs[at][0]) * threshold:
                return []
        return [(runs[0][0], runs[-1][1])]
    groups: list[list[Interval]] = []
    for run in runs:
        joined = [*groups[-1], run] if groups else [run]
        if groups and sum(b - a for a, b in joined) >= (run[1] - joined[0][0]) * threshold:
            groups[-1] = joined
        else:
            groups.append([run])
    return [(group[0][0], group[-1][1]) for group in groups]
