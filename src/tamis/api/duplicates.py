"""Functions that compare all documents with each other: exact copies, near-duplicates, and repeated passages.

They take a list of strings or dicts, a pyarrow Table or RecordBatch, a pandas or polars DataFrame, or a
`datasets.Dataset`, which is held in memory together with what is known about each document; data larger than that are
for `tamis run`, which works out of core. Settings are those of the step `dedup` in a recipe.
"""

from collections import Counter, defaultdict
from functools import partial
from typing import Any, Literal, overload

import pyarrow as pa

from tamis.api.call import Call, Outcome, Result
from tamis.api.documents import Names
from tamis.api.frames import Frame
from tamis.api.options import T, stages_of
from tamis.base import columns
from tamis.base.errors import ConfigError
from tamis.stages.dedup.first_places import FIRST_PLACES, PLACE
from tamis.stages.dedup.survivors import DUPLICATE_OF, MERGED_FROM


@overload
def near_duplicates(
    data: list[str], method: str = ..., *, result: Literal["all", "removed"] = ..., **options: Any
) -> list[dict[str, Any]]: ...
@overload
def near_duplicates(
    data: list[str], method: str = ..., *, result: Literal["kept"], **options: Any
) -> list[str]: ...  # fmt: skip
@overload
def near_duplicates(data: T, method: str = ..., **options: Any) -> T: ...
@overload
def near_duplicates(data: Any, method: str = ..., **options: Any) -> Any: ...
def near_duplicates(
    data: Any, method: str = "minhash", *, result: Result = "all", text_column: str = "text",
    url_column: str | None = None, id_column: str | None = None, prefix: str = "", seed: int = 0, **settings: Any,
) -> Any:  # fmt: skip
    """Which documents are nearly the same as another one, which is kept.

    `method`: "minhash" (similar texts), "semantic" (similar meaning, by embeddings) or "bloom" (mostly n-grams that
    occurred before; it names other documents with `name_first=True` alone). `settings`: those of that method, such as
    `bands=14, rows=8, keep="longest"`.

    `result`: "all" gives every row; `drop_reason` is `near_duplicate` for those that a run would remove,
    `duplicate_of` names the document that is kept instead, and `num_copies` counts the copies of a kept one. "kept"
    gives the data without duplicates, "removed" the duplicates alone. A document is named by its value of `id_column`
    (default: `id`, where there is one), else by its row, counted from 0. A row that an earlier step marked with a
    `drop_reason` is not looked at again.
    """
    if method not in ("minhash", "semantic", "bloom"):
        raise ConfigError(
            f"near_duplicates: no method {method!r}; there are minhash, semantic and bloom. For equal documents call "
            "exact_duplicates, for repeated passages substring_duplicates"
        )
    names = Names(text=text_column, url=url_column, id=id_column)
    return _dedup("near_duplicates", {"method": method, **settings}, names, result, prefix, seed, data)


@overload
def exact_duplicates(
    data: list[str], *, result: Literal["all", "removed"] = ..., **options: Any
) -> list[dict[str, Any]]: ...  # fmt: skip
@overload
def exact_duplicates(data: list[str], *, result: Literal["kept"], **options: Any) -> list[str]: ...
@overload
def exact_duplicates(data: T, **options: Any) -> T: ...
@overload
def exact_duplicates(data: Any, **options: Any) -> Any: ...
def exact_duplicates(
    data: Any, *, result: Result = "all", text_column: str = "text", url_column: str | None = None,
    id_column: str | None = None, prefix: str = "", **settings: Any,
) -> Any:  # fmt: skip
    """Which documents are copies of another one, which is kept; results as those of `near_duplicates`.

    Texts are compared in lower case with white space squeezed. `settings`: those of the method `exact`, such as
    `normalize="none"` to compare byte for byte, or `key="url"` to compare URLs.
    """
    names = Names(text=text_column, url=url_column, id=id_column)
    return _dedup("exact_duplicates", {"method": "exact", **settings}, names, result, prefix, 0, data)


@overload
def substring_duplicates(data: list[str], *, result: Literal["kept"] = ..., **options: Any) -> list[str]: ...
@overload
def substring_duplicates(data: T, **options: Any) -> T: ...
@overload
def substring_duplicates(data: Any, **options: Any) -> Any: ...
def substring_duplicates(
    data: Any, *, result: Result = "kept", text_column: str = "text", prefix: str = "", seed: int = 0, **settings: Any
) -> Any:
    """The documents without passages of 50 tokens or more that occur earlier in the data.

    `duplicate_token_fraction` is the share of a document's tokens that were cut. `settings`: those of the method
    `substring`, such as `min_tokens=100`, `annotate=True`, which changes no text and writes `duplicate_spans`, or
    `name_first=True`, which writes where cut text stands first (`first_places`).
    `result`: "kept" leaves out documents of which nothing is left, "all" gives every row with `drop_reason`, "removed"
    gives those that "kept" leaves out.
    """
    names = Names(text=text_column)
    return _dedup("substring_duplicates", {"method": "substring", **settings}, names, result, prefix, seed, data)


def _dedup(what: str, settings: dict[str, Any], names: Names, result: Result, prefix: str, seed: int, data: Any) -> Any:
    stages = stages_of("dedup", settings, seed)
    edits = settings["method"] in ("substring", "bloom") or bool(settings.get("merge"))
    call = Call(
        what=what, stages=stages, names=names, edits=edits, removes=True, result=result, prefix=prefix, seed=seed
    )
    if any({DUPLICATE_OF, FIRST_PLACES} & {*stage.adds.names} for stage in stages):
        call.resolve = partial(_named_documents, names)
    return call.on(data)


def _named_documents(names: Names, frame: Frame, outcome: Outcome) -> pa.Table:
    """The new columns with the documents that they name as the user knows them: by id, else by row."""
    id_column = names.id or (columns.ID if columns.ID in frame.names else None)
    known = list(range(frame.num_rows)) if id_column is None else frame.values(id_column, 0, frame.num_rows)
    try:
        kind = pa.array(known, pa.int64() if id_column is None else None).type
    except (pa.ArrowException, OverflowError):  # ids of several types
        known, kind = [None if name is None else str(name) for name in known], pa.string()
    rows_of: dict[str, list[int]] = defaultdict(list)
    kept = outcome.kept.tolist()
    for row, name in enumerate(outcome.ids.to_pylist()):
        if name is not None:
            rows_of[name].append(row)
    survivor = {name: next((row for row in rows if kept[row]), rows[0]) for name, rows in rows_of.items()}
    added = outcome.added
    if DUPLICATE_OF in added.column_names:
        originals = [None if name is None else known[survivor[name]] for name in added.column(DUPLICATE_OF).to_pylist()]
        added = _replaced(added, DUPLICATE_OF, pa.array(originals, kind))
    if MERGED_FROM in added.column_names:
        merged = [_members(found, rows_of, known) for found in added.column(MERGED_FROM).to_pylist()]
        added = _replaced(added, MERGED_FROM, pa.array(merged, pa.list_(kind)))
    if FIRST_PLACES in added.column_names:
        named = {None: None} | {name: known[rows[0]] for name, rows in rows_of.items()}
        places = [
            found and [place | {"document": named[place["document"]]} for place in found]
            for found in added.column(FIRST_PLACES).to_pylist()
        ]
        fields = [field.with_type(kind) if field.name == "document" else field for field in PLACE]
        added = _replaced(added, FIRST_PLACES, pa.array(places, pa.list_(pa.struct(fields))))
    return added


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.chunked_array([column]))


def _members(found: list[str] | None, rows_of: dict[str, list[int]], known: list[Any]) -> list[Any] | None:
    """The documents of a group; equal ones have the same id, and each occurrence stands for another row."""
    if found is None:
        return None
    seen = Counter[str]()
    members = []
    for name in found:
        rows = rows_of[name]
        members.append(known[rows[min(seen[name], len(rows) - 1)]])
        seen[name] += 1
    return members
