"""Settings of the filter stage."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator

from tamis.base.config import Config
from tamis.base.errors import ConfigError, did_you_mean
from tamis.base.lookup import check_test
from tamis.stages.filter.detectors import ANY, check_detector, labels_kept
from tamis.stages.filter.published import RULES, TABLES
from tamis.stages.filter.signals import LETTERS_PER_TOKEN, MEASURED, WORDS_REMOVED
from tamis.stages.filter.tables import DEFAULT_LIMITS, EDIT_KINDS, PHRASE_EDITS, PhrasePlace


class OwnRule(Config):
    """A rule of the recipe's own: removes a document for `reason` when `column op threshold`."""

    column: str
    """A signal, a column that came with the documents or that an earlier step added, or `extra.NAME`."""
    op: str
    """One of `signals.OPERATORS`."""
    threshold: float | bool | str | list[float | str]
    reason: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    source: str = "recipe"
    """The source of the threshold, for reports."""


class OwnEdit(Config):
    """An edit of the recipe's own, which comes before those of the table."""

    kind: str
    """One of `tables.EDIT_KINDS`."""
    limit: float | None = None
    """The limit of a kind of edit that has one; the defaults are in `tables.DEFAULT_LIMITS`."""
    phrases: list[str] = Field(default=[])
    """For `phrase_lines`, which deletes the line, and `remove_phrases`, which deletes only the phrase (ASCII)."""
    place: PhrasePlace = "anywhere"
    """Where in the line a phrase counts."""
    whole_words: bool = False
    """Whether a phrase must stand as whole words, and does not count inside a longer word; for `phrase_lines`."""
    max_words: float | None = None
    """Lines with more words are not changed; null = no limit."""


class PhraseListConfig(Config):
    """Phrases to count, which give the signals `num_<name>` and `<name>_per_word`."""

    phrases: list[str] = Field(min_length=1)
    place: PhrasePlace = "anywhere"
    whole_words: bool = False


class UrlRule(Config):
    """URLs to remove: those on one of the hosts `hosts`, or with at least `min_matches` different ones of `words`."""

    reason: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    hosts: list[str] = Field(default=[])
    """Host names without `www.`; their subdomains do not match."""
    words: list[str] = Field(default=[])
    whole_words: bool = True
    min_matches: int = Field(default=1, ge=1)
    ignore: list[str] = Field(default=[])
    """Strings that are deleted from the URL before it is tested."""


if TYPE_CHECKING:
    _Thresholds = Config
else:
    _Thresholds = create_model(
        "_Thresholds", __base__=Config, **{setting: (float | None, Field(default=None)) for setting in RULES}
    )


class FilterConfig(_Thresholds):
    """Settings of `filter`: the rule table, thresholds that differ from the published ones, languages and ban-lists.

    Every key of `published.RULES` is a setting too: the threshold of that rule, null = the table's own.
    """

    rules: str = "refinedweb"
    """Rule table: refinedweb (DCLM-Baseline's heuristics), gopher, c4, fineweb, or none."""
    skip_rules: list[str] = Field(default=[])
    """Reasons of rules that are switched off, such as `too_few_stop_words`. Their signals are still measured."""
    own_rules: list[OwnRule] = Field(default=[])
    """Further rules, on any column. A rule on a signal that the table measures is tested there, a rule on another
    signal on the final text, and a rule on a column that came with the documents before anything is measured."""
    signals: list[str] = Field(default=[])
    """Signals of your own: functions of a text, as `./file.py:name` or `package.module:name`, measured on the final
    text. The column has the function's name."""
    edits: list[OwnEdit] = Field(default=[])
    """Edits before those of the table, in order; `- counter_lines` is short for `- kind: counter_lines`."""
    phrase_lists: dict[str, PhraseListConfig] = Field(default={})
    """Phrases to count, by name; `own_rules` test what is counted."""
    keep_languages: list[str] | None = None
    """Codes of ISO 639-1 (`de`) or 639-3 (`deu`), with or without a script (`deu_Latn`); `[any]` = detect the language
    and keep every one; `[]` = detect none. null = `[en]`, or with `rules: none` `[any]`."""
    by_language: bool = True
    """Judge a page by the thresholds and stop words of its language, and split it into words as its script is written;
    false = by the published figures for English whatever its language. Paper mode always does the latter."""
    min_language_score: float = Field(default=0.65, ge=0, lt=1)
    """Pages at or below this probability are removed."""
    language_model: str | None = None
    """Path of fastText's lid.176.bin or lid.176.ftz; `langdetect` = that package, where it is installed;
    null or `py3langid` = that package, which comes with Tamis."""
    sentence_languages: bool = False
    """Also detect the language of every sentence: the column `sentence_languages` holds a JSON object as DCLM's
    enricher writes it, language -> average probability and number of sentences."""
    banlists: str | None = None
    """Folder with DCLM's three URL word lists; null = no URL is removed for its words."""
    banned_domains: str | None = None
    """File of host names, one per line; null = no host is removed."""
    reserved_hosts: bool = False
    """Remove pages of the sixteen hosts that DCLM keeps for mixing (Wikipedia, arXiv, GitHub, ...)."""
    url_rules: list[UrlRule] = Field(default=[])
    """Further URLs to remove."""
    banned_words: str | None = None
    """File of words or phrases, one per line, matched as whole words in the text; null = none."""
    own_banned_words: list[str] = Field(default=[])
    """Further words or phrases, in the recipe itself; with or without a file."""
    file_extensions: list[str] | None = None
    """Keep only documents whose field `filename` ends in one of these; `[redpajama]` stands for RedPajama's list."""
    keep_probability: float = Field(default=1.0, ge=0, le=1)
    """Share of the documents, chosen by a hash of their ids, that is kept."""
    tokenizer: str | None = None
    """A tokenizer.json; with it the signal `letters_per_token` can be tested in `own_rules`."""
    text_from: Literal["text", "stackexchange", "repository"] = "text"
    """The source of the text: the column as it came, or a text built from the input's `question` and `answers`, or from
    `files`."""
    file_name_probability: float = Field(default=0.5, ge=0, le=1)
    """With `text_from: repository`: the share of repositories whose files are preceded by their names."""
    mask_pii: list[Literal["email", "ip", "phone"]] = Field(default=[])
    """Kinds of personal data to replace by placeholders in the texts that are kept."""

    @field_validator("edits", mode="before")
    @classmethod
    def _bare_kinds(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"kind": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("keep_languages", mode="before")
    @classmethod
    def _every_language(cls, value: Any) -> Any:
        return [ANY] if value == ANY else value

    @property
    def languages(self) -> list[str]:
        """The languages to keep: codes, `[ANY]`, or nothing where none is detected."""
        if self.keep_languages is not None:
            return self.keep_languages
        return [ANY] if self.rules == "none" else ["en"]

    @property
    def keeps_any(self) -> bool:
        """Whether the language is detected and no page is removed for it."""
        return self.languages == [ANY]

    @property
    def bans_words(self) -> bool:
        """Whether there is a list of banned words."""
        return self.banned_words is not None or bool(self.own_banned_words)


BANNED_WORD_RULES = ("max_banned_words", "max_banned_words_per_word")
_WORD_SOURCES = "filter.banned_words, a file of words, or filter.own_banned_words, a list"


def check(config: FilterConfig) -> None:
    """Raises ConfigError where a name is unknown, or settings contradict each other."""
    if config.rules not in TABLES:
        raise ConfigError(f"filter.rules: no table '{config.rules}'{did_you_mean(config.rules, TABLES)}")
    _check_thresholds(config)
    for number, edit in enumerate(config.edits):
        _check_edit(edit, f"filter.edits.{number}", config)
    kernel_columns(config)
    for number, rule in enumerate(config.own_rules):
        check_test(rule.op, rule.threshold, f"filter.own_rules.{number}")
    for number, url_rule in enumerate(config.url_rules):
        if not url_rule.hosts and not url_rule.words:
            raise ConfigError(f"filter.url_rules.{number}: give `hosts` or `words`")
    if config.sentence_languages and not config.languages:
        raise ConfigError("filter.sentence_languages: no languages are requested; set filter.keep_languages")
    if config.language_model is not None and not config.languages:
        raise ConfigError("filter.language_model: no languages are requested; set filter.keep_languages or remove this")
    if not all(word.strip() for word in config.own_banned_words):
        raise ConfigError("filter.own_banned_words: an entry is blank, which every text has; remove it")
    if ANY in config.languages and not config.keeps_any:
        raise ConfigError("filter.keep_languages: `any` keeps every language; give it alone, or remove it")
    check_detector(config.language_model)
    labels_kept(config.languages, config.language_model)


def _check_thresholds(config: FilterConfig) -> None:
    table = TABLES[config.rules]
    checks = [check for phase in table.phases for check in phase.checks]
    in_table = {check.setting for check in checks if check.setting is not None}
    if config.bans_words:
        in_table |= set(BANNED_WORD_RULES)
    else:
        in_table -= set(BANNED_WORD_RULES)
    for setting in RULES:
        threshold = getattr(config, setting)
        if threshold is not None and setting not in in_table:
            why = (
                f"needs {_WORD_SOURCES}"
                if setting in BANNED_WORD_RULES
                else f"the rule table '{table.name}' has no such rule; remove the setting, choose another table, or "
                f"write it as one of filter.own_rules{did_you_mean(setting, in_table)}"
            )
            raise ConfigError(f"filter.{setting}: {why}")
    reasons = {check.rule.reason for check in checks}
    for reason in config.skip_rules:
        if reason not in reasons:
            raise ConfigError(f"filter.skip_rules: no rule '{reason}' in '{table.name}'{did_you_mean(reason, reasons)}")


def _check_edit(edit: OwnEdit, where: str, config: FilterConfig) -> None:
    if edit.kind not in EDIT_KINDS:
        raise ConfigError(f"{where}.kind: no edit '{edit.kind}'{did_you_mean(edit.kind, EDIT_KINDS)}")
    if edit.limit is not None and edit.kind not in DEFAULT_LIMITS:
        raise ConfigError(f"{where}.limit: '{edit.kind}' has no limit; remove this")
    if (edit.kind in PHRASE_EDITS) != bool(edit.phrases):
        wrong = "needs phrases" if not edit.phrases else "takes no phrases; remove them"
        raise ConfigError(f"{where}.phrases: '{edit.kind}' {wrong}")
    if edit.kind == "remove_phrases" and not all(p.isascii() and p and "\0" not in p for p in edit.phrases):
        raise ConfigError(f"{where}.phrases: 'remove_phrases' takes ASCII phrases only; 'phrase_lines' takes any")
    if edit.kind == "banned_word_lines" and not config.bans_words:
        raise ConfigError(f"{where}: 'banned_word_lines' needs {_WORD_SOURCES}")


def kernel_columns(config: FilterConfig) -> list[str]:
    """Signals that the kernels can measure for a rule. Raises ConfigError for a phrase list whose name cannot be
    used."""
    names = [*MEASURED, *(column for part in TABLES[config.rules].lists for column in part.columns)]
    for name in config.phrase_lists:
        columns = (f"num_{name}", f"{name}_per_word")
        if not name.isidentifier() or not name.islower() or set(columns) & {*names, "num_banned_words"}:
            raise ConfigError(
                f"filter.phrase_lists: '{name}' cannot name a list; take lower-case letters, digits and underscores, "
                "and no name that a signal has"
            )
        names += columns
    if config.bans_words:
        names += ["num_banned_words", "banned_words_per_word"]
    if config.tokenizer is not None:
        names.append(LETTERS_PER_TOKEN)
    if any(c.rule.column == WORDS_REMOVED for phase in TABLES[config.rules].phases for c in phase.checks):
        names.append(WORDS_REMOVED)
    return names
