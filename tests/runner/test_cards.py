"""Cards of groups: what their decisions found, of every bucket and of combining them."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from harness import execute, plan_of, run_at
from toy import Shout, ToyPool, Unique, toy_docs

from tamis.base.stage import Sketches, StageContext

RULE = '{"reason": "duplicate", "column": "key", "op": "==", "threshold": 1}'


class Combined(Unique):
    """Finds out more when it combines."""

    def combine(self, decided: Sequence[pa.Table], sketches: Sketches, context: StageContext) -> pa.Table:
        table = super().combine(decided, sketches, context)
        return table.replace_schema_metadata({"details": f'{{"clusters": 3, "rules": [{RULE}]}}'})


class InOneBucket(Unique):
    """Needs no combining."""

    combines = False

    class Settings(Unique.Settings):
        num_buckets: int = 1


@pytest.mark.parametrize(
    ("group", "decisions", "num_rules"),
    [(Combined, {"buckets": 2, "clusters": 3}, 1), (InOneBucket, {"buckets": 2}, 0)],
)
def test_a_card_has_what_all_decisions_found(
    group: type[Unique], decisions: dict[str, int], num_rules: int, memory: str
) -> None:
    stages = [Shout(Shout.Settings()), group(group.Settings())]
    execute(plan_of(ToyPool(ToyPool.Settings(shards=toy_docs(2, 10))), stages), memory)
    card = run_at(memory).cards()[-1][1]
    assert card.details["decisions"] == decisions and len(card.details["rules"]) == num_rules
    assert card.accounting is not None and card.accounting.removed == {"duplicate": 13}
