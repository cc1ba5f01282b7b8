"""What a group's decisions will take is told before they start, with a warning where the machine has less."""

from typing import Any

import pytest
from harness import execute, plan_of
from toy import Measure, Shout, ToyPool, Unique, toy_docs

from tamis.base.events import Event
from tamis.base.stage import Corpus, Cost


class CostlyUnique(Unique):
    """Says what it needs: of memory a thousand bytes for every document in each decision."""

    def cost(self, corpus: Corpus) -> Cost:
        return Cost(memory_bytes=1000 * corpus.num_documents, sketch_bytes=corpus.text_bytes, combine_memory_bytes=7)


@pytest.mark.parametrize(("free", "warned"), [(32_000, False), (31_999, True), (None, False)])
def test_a_group_tells_its_cost_for_what_reaches_it(
    free: int | None, warned: bool, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tamis.runner.estimate.available_memory_bytes", lambda: free)
    stages = [Shout(Shout.Settings()), Measure(Measure.Settings()), CostlyUnique(Unique.Settings())]
    events = execute(plan_of(ToyPool(ToyPool.Settings(shards=toy_docs(2, 10))), stages), memory, workers=2)
    assert fields_of(events, "cost_predicted") == [{
        "stage": "04_unique", "documents": 16, "text_bytes": 96, "memory_bytes": 32_000,
        "decision_memory_bytes": 16_000, "combine_memory_bytes": 7, "decisions_at_once": 2, "sketch_bytes": 96,
    }]  # fmt: skip
    notes = [fields["text"] for fields in fields_of(events, "note")]
    assert [note.startswith("04_unique: its decisions will take about 0.0 GB") for note in notes] == [True] * warned


def fields_of(events: list[Event], kind: str) -> list[dict[str, Any]]:
    return [event.fields for event in events if event.kind == kind]
