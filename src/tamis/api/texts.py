"""Functions that look at one document at a time: extract, filter, mask, tokenize, and what is measured.

They take a string, a list of strings or dicts, a pyarrow Table, RecordBatch or RecordBatchReader, a pandas or polars
DataFrame, a `datasets.Dataset` or `IterableDataset`, or any iterable of strings or dicts, and answer in the same kind.
Settings are those of the step in a recipe. All raise ConfigError for a wrong setting, for data of another kind, and for
a column that is missing or would be overwritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from tamis.api.call import Call, Result
from tamis.api.documents import Names
from tamis.api.options import Mode, T, stages_of
from tamis.stages.filter.published import TABLES


@overload
def extract(data: str | bytes, *, result: Literal["kept"] = ..., **options: Any) -> str | None: ...
@overload
def extract(data: list[str] | list[bytes], *, result: Literal["kept"] = ..., **options: Any) -> list[str]: ...
@overload
def extract(data: T, **options: Any) -> T: ...
@overload
def extract(data: Any, **options: Any) -> Any: ...
def extract(
    data: Any, *, result: Result = "kept", html_column: str = "html", text_column: str = "text",
    url_column: str | None = None, prefix: str = "", mode: Mode = "fixed", **settings: Any,
) -> Any:  # fmt: skip
    """The text of HTML pages, by default their main content as resiliparse finds it.

    Pages are strings, or bytes in any encoding; of data with columns, those in `html_column`. The text comes back in
    the new column `text_column`, with `charset` and `charset_source`. Of one page, its text comes back, or None where
    it has none. `settings`: those of the step `extract`, such as `engine="tamis"` or `markdown=True`.

    `result`: "kept" leaves out pages without text or with an error, "all" returns every row with the columns
    `drop_reason` and `error`, "removed" returns the rows that "kept" leaves out. Raises DataError for one page that
    cannot be extracted.
    """
    names = Names(text=text_column, url=url_column, html=html_column)
    stages = stages_of("extract", settings, mode=mode)
    return Call(what="extract", stages=stages, names=names, removes=True, result=result, prefix=prefix).on(data)


@overload
def filter(data: str, rules: str = ..., *, result: Literal["kept"] = ..., **options: Any) -> str | None: ...
@overload
def filter(data: list[str], rules: str = ..., *, result: Literal["kept"] = ..., **options: Any) -> list[str]: ...
@overload
def filter(data: T, rules: str = ..., **options: Any) -> T: ...
@overload
def filter(data: Any, rules: str = ..., **options: Any) -> Any: ...
def filter(
    data: Any, rules: str = "refinedweb", *, result: Result = "kept", text_column: str = "text",
    url_column: str | None = None, id_column: str | None = None, prefix: str = "", seed: int = 0,
    mode: Mode = "fixed", **settings: Any,
) -> Any:  # fmt: skip
    """The documents that pass the rules of a published table: refinedweb, gopher, c4, fineweb, or none.

    The table's edits change the texts, and the signals that its rules test become columns. `settings`: those of the
    step `filter`, such as `keep_languages=["de"]` or `min_words=100`.

    `result`: "kept" gives the rows that pass, "all" every row with the columns `drop_reason` and `error`, "removed"
    those that do not pass; a row that an earlier step marked with a `drop_reason` is not looked at again. Of one
    string, its edited text comes back, or None where a rule removes it. `url_column` (default: `url`, where there is
    one) is for rules on URLs.
    """
    names = Names(text=text_column, url=url_column, id=id_column)
    stages = stages_of("filter", {"rules": rules, **settings}, seed, mode)
    return Call(
        what="filter", stages=stages, names=names, edits=True, removes=True, result=result, prefix=prefix, seed=seed
    ).on(data)


@overload
def mask(data: str, kinds: Sequence[str] = ...) -> str: ...
@overload
def mask(data: list[str], kinds: Sequence[str] = ...) -> list[str]: ...
@overload
def mask(data: T, kinds: Sequence[str] = ..., *, text_column: str = ..., prefix: str = ...) -> T: ...
@overload
def mask(data: Any, kinds: Sequence[str] = ..., *, text_column: str = ..., prefix: str = ...) -> Any: ...
def mask(
    data: Any, kinds: Sequence[str] = ("email", "ip", "phone"), *, text_column: str = "text", prefix: str = ""
) -> Any:
    """Texts with personal data replaced by placeholders: e-mail addresses, public IP addresses, telephone numbers.

    Data with columns also get `num_email_masked`, `num_ip_masked` and `num_phone_masked`. All rows come back.
    """
    settings = {"rules": "none", "keep_languages": [], "mask_pii": list(kinds)}
    stages = stages_of("filter", settings)[1:]
    return Call(what="mask", stages=stages, names=Names(text=text_column), edits=True, prefix=prefix).on(data)


@overload
def detect_language(data: str, **options: Any) -> dict[str, Any]: ...
@overload
def detect_language(data: list[str], **options: Any) -> list[dict[str, Any]]: ...
@overload
def detect_language(data: T, **options: Any) -> T: ...
@overload
def detect_language(data: Any, **options: Any) -> Any: ...
def detect_language(data: Any, *, text_column: str = "text", prefix: str = "", **settings: Any) -> Any:
    """The language of each text and its probability, in the columns `language` and `language_score`.

    `settings`: those of the step `filter` about languages, such as `language_model="lid.176.bin"`. All rows come back;
    a text without a word has the language ''. Of one string, a dict of the two comes back.
    """
    stages = stages_of("filter", {"rules": "none", "keep_languages": ["en"], **settings})
    added = [name for name in stages[0].adds.names if "language" in name]
    return Call(what="detect_language", stages=stages[:1], names=Names(text=text_column), prefix=prefix, adds=added).on(
        data
    )


@overload
def signals(data: str, rules: str = ..., **options: Any) -> dict[str, Any]: ...
@overload
def signals(data: list[str], rules: str = ..., **options: Any) -> list[dict[str, Any]]: ...
@overload
def signals(data: T, rules: str = ..., **options: Any) -> T: ...
@overload
def signals(data: Any, rules: str = ..., **options: Any) -> Any: ...
def signals(
    data: Any, rules: str = "refinedweb", *, text_column: str = "text", url_column: str | None = None,
    prefix: str = "", mode: Mode = "fixed", **settings: Any,
) -> Any:  # fmt: skip
    """What the rules of a table would test, as columns: number of words, share of repeated lines, and so on.

    No rule is applied, no text is changed, and all rows come back. Where a table edits texts before it measures, the
    edited text is measured, as in a run. `settings`: those of the step `filter`, such as
    `signals=["./mine.py:vowels"]` for signals of your own. Of one string, a dict comes back.
    """
    table = TABLES.get(rules)
    checks = [check.rule.reason for phase in table.phases for check in phase.checks] if table is not None else []
    given = {"rules": rules, "keep_languages": [], "skip_rules": list(dict.fromkeys(checks)), **settings}
    stages = stages_of("filter", given, mode=mode)[:1]
    names = Names(text=text_column, url=url_column)
    return Call(what="signals", stages=stages, names=names, prefix=prefix).on(data)


@overload
def score(data: str, model: str | None = ..., **options: Any) -> dict[str, Any]: ...
@overload
def score(data: list[str], model: str | None = ..., **options: Any) -> list[dict[str, Any]]: ...
@overload
def score(data: T, model: str | None = ..., **options: Any) -> T: ...
@overload
def score(data: Any, model: str | None = ..., **options: Any) -> Any: ...
def score(
    data: Any, model: str | None = None, *, scorer: str | None = None, options: Mapping[str, Any] | None = None,
    text_column: str = "text", id_column: str | None = None, prefix: str = "", seed: int = 0, **settings: Any,
) -> Any:  # fmt: skip
    """The quality score of each text, in the column `quality_score`. All rows come back; of one string, a dict.

    `model`: a fastText classifier (.bin) with the labels `__label__hq` and `__label__cc`, or `fetch:dclm-quality`.
    `scorer`: a scorer of your own, as "./mine.py:name" or "package.module:name", with `options` for its class. With
    neither, a classifier is trained on `positives` (a setting of the step `quality`) against the data themselves,
    which a stream does not allow.
    """
    given = {"model": model, "scorer": scorer, "options": dict(options) if options else None}
    used = {name: value for name, value in given.items() if value is not None}
    stages = stages_of("quality", {"annotate": True, **used, **settings}, seed)
    names = Names(text=text_column, id=id_column)
    return Call(what="score", stages=stages, names=names, prefix=prefix, seed=seed).on(data)


@overload
def tokenize(data: str, tokenizer: str, **options: Any) -> dict[str, Any]: ...
@overload
def tokenize(data: list[str], tokenizer: str, **options: Any) -> list[dict[str, Any]]: ...
@overload
def tokenize(data: T, tokenizer: str, **options: Any) -> T: ...
@overload
def tokenize(data: Any, tokenizer: str, **options: Any) -> Any: ...
def tokenize(
    data: Any, tokenizer: str, *, text_column: str = "text", prefix: str = "", mode: Mode = "fixed", **settings: Any
) -> Any:
    """The ids of each text with the end-of-text id after them (`token_ids`), and their number (`num_tokens`).

    `tokenizer`: the path of a Hugging Face `tokenizers` JSON file. `settings`: those of the step `tokenize`, such as
    `end_of_text="</s>"`. All rows come back; of one string, a dict.
    """
    stages = stages_of("tokenize", {"tokenizer": tokenizer, **settings}, mode=mode)
    return Call(what="tokenize", stages=stages, names=Names(text=text_column), prefix=prefix).on(data)
