"""The settings of a filter with every value that it applies, as the resolved recipe shows them.

A recipe with these values parses to the same filter, even if a later version of Tamis changes its tables.
"""

from collections.abc import Sequence
from typing import Any

from tamis.base.plugins import Plugin
from tamis.stages.filter.detectors import PY3LANGID
from tamis.stages.filter.published import RULES
from tamis.stages.filter.settings import FilterConfig
from tamis.stages.filter.tables import DEFAULT_LIMITS, Table


def resolved_settings(config: FilterConfig, table: Table, signals: Sequence[Plugin]) -> dict[str, Any]:
    """`config` as JSON, with the thresholds of `table` (the table that the run applies), but without thresholds of
    rules that are not in it."""
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name not in RULES}
    settings["keep_languages"] = config.languages
    if config.languages and config.language_model is None:
        settings["language_model"] = PY3LANGID
    for edit in settings["edits"]:
        if edit["limit"] is None:
            edit["limit"] = DEFAULT_LIMITS.get(edit["kind"])
    settings["signals"] = [plugin.spec for plugin in signals]
    checks = [check for phase in table.phases for check in phase.checks if check.setting is not None]
    for check in checks:
        assert isinstance(check.rule.threshold, int | float)
        settings[str(check.setting)] = float(check.rule.threshold)
    return settings
