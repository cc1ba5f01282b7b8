"""Settings of the filter stage."""

from pydantic import Field

from tamis.base.config import Config
from tamis.base.errors import ConfigError, did_you_mean
from tamis.stages.filter.tables import RULES, TABLES


class FilterConfig(Config):
    """Which rule table, which thresholds differ from the published ones, which languages, which ban-lists."""

    rules: str = "refinedweb"
    """Rule table: refinedweb (DCLM-Baseline's heuristics) or gopher."""
    skip_rules: list[str] = Field(default=[])
    """Reasons never to remove for, such as `too_few_stop_words`; the signals are measured all the same."""
    keep_languages: list[str] = Field(default=["en"])
    """ISO 639-1 codes; empty = keep every language and detect none."""
    min_language_score: float = Field(default=0.65, ge=0, lt=1)
    """Pages at or below this probability are removed."""
    language_model: str | None = None
    """Path of fastText's lid.176.bin or lid.176.ftz; null = py3langid, which comes with the package."""
    banlists: str | None = None
    """Folder with DCLM's three URL word lists; null = no URL is banned for its words."""
    banned_domains: str | None = None
    """File of host names, one per line; null = no host is banned."""

    min_words: float | None = None
    max_words: float | None = None
    min_mean_word_length: float | None = None
    max_mean_word_length: float | None = None
    max_symbols_per_word: float | None = None
    max_bullet_line_fraction: float | None = None
    max_ellipsis_line_fraction: float | None = None
    max_words_without_letter_fraction: float | None = None
    min_stop_words: float | None = None
    max_duplicate_line_fraction: float | None = None
    max_duplicate_paragraph_fraction: float | None = None
    max_duplicate_line_character_fraction: float | None = None
    max_duplicate_paragraph_character_fraction: float | None = None
    max_top_2gram_fraction: float | None = None
    max_top_3gram_fraction: float | None = None
    max_top_4gram_fraction: float | None = None
    max_duplicate_5gram_fraction: float | None = None
    max_duplicate_6gram_fraction: float | None = None
    max_duplicate_7gram_fraction: float | None = None
    max_duplicate_8gram_fraction: float | None = None
    max_duplicate_9gram_fraction: float | None = None
    max_duplicate_10gram_fraction: float | None = None
    max_words_removed_fraction: float | None = None

    def threshold(self, setting: str, published: float) -> float:
        """The threshold in force for one rule: the recipe's, else the published one."""
        own = getattr(self, setting)
        return published if own is None else float(own)


def check(config: FilterConfig) -> None:
    """Raises ConfigError where names do not fit together."""
    if config.rules not in TABLES:
        raise ConfigError(f"filter.rules: no table '{config.rules}'{did_you_mean(config.rules, TABLES)}")
    table = TABLES[config.rules]
    in_table = {rule.setting for phase in table.phases for rule in phase.checks}
    for setting in RULES:
        if getattr(config, setting) is not None and setting not in in_table:
            raise ConfigError(
                f"filter.{setting}: the rule table '{table.name}' has no such rule; remove the setting or choose "
                f"another table{did_you_mean(setting, in_table)}"
            )
    reasons = {RULES[setting].reason for setting in in_table}
    for reason in config.skip_rules:
        if reason not in reasons:
            raise ConfigError(f"filter.skip_rules: no rule '{reason}' in '{table.name}'{did_you_mean(reason, reasons)}")
    if config.language_model is not None and not config.keep_languages:
        raise ConfigError("filter.language_model: no language is asked for; set filter.keep_languages or remove this")
