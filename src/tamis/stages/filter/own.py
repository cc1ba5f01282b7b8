"""Combines a published table with the recipe's own edits, rules, word lists and thresholds to the table that a run
applies."""

from dataclasses import replace

from tamis.base.signals import Rule
from tamis.stages.filter.programs import measured_columns
from tamis.stages.filter.published import RULES, TABLES
from tamis.stages.filter.settings import BANNED_WORD_RULES, FilterConfig, OwnEdit, OwnRule, kernel_columns
from tamis.stages.filter.tables import Check, Edit, Phase, PhraseList, Table

BANNED_WORDS = "banned_words"
"""Name of the phrase list that `filter.banned_words` and `own_banned_words` fill when the stage opens."""


def effective_table(config: FilterConfig, *, by_language: bool = False) -> Table:
    """The table that the run applies. `config` has passed `settings.check`. With `by_language` the language is detected
    before anything that depends on it, where the published table detects it later."""
    table = TABLES[config.rules]
    if by_language:
        table = replace(table, phases=_language_first(table.phases))
    phases = [Phase(tuple(map(_edit, config.edits)))] if config.edits else []
    phases += [replace(phase, checks=_in_force(phase.checks, config)) for phase in table.phases]
    if config.languages and not any(phase.language for phase in phases):
        phases.append(Phase(language=True))
    if not config.languages:
        phases = [replace(phase, language=False) for phase in phases]
    lists = [*table.lists]
    for name, wanted in config.phrase_lists.items():
        lists.append(PhraseList(name, tuple(wanted.phrases), wanted.place, wanted.whole_words))
    if config.bans_words:
        lists.append(PhraseList(BANNED_WORDS, (), whole_words=True))
    for check in _own_checks(table, config):
        _insert(phases, check, lists)
    return replace(table, phases=tuple(phases), lists=tuple(lists))


def _language_first(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """The phases with the language detected before the first check, and before all but the edits that precede it."""
    head, *rest = phases or (Phase(),)
    if not head.language:
        return (Phase(language=True), *(replace(phase, language=False) for phase in phases))
    return (replace(head, checks=()), Phase(checks=head.checks), *rest) if head.checks else phases


def own_thresholds(config: FilterConfig) -> frozenset[str]:
    """Settings whose thresholds the recipe gives itself: those that differ from the published ones."""
    checks = [check for phase in TABLES[config.rules].phases for check in phase.checks if check.setting is not None]
    return frozenset(
        str(check.setting)
        for check in checks
        if getattr(config, str(check.setting)) not in (None, check.rule.threshold)
    )


def _edit(own: OwnEdit) -> Edit:
    return Edit(
        own.kind,
        limit=own.limit,
        phrases=tuple(own.phrases),
        place=own.place,
        whole_words=own.whole_words,
        max_words=float("inf") if own.max_words is None else own.max_words,
    )


def _in_force(checks: tuple[Check, ...], config: FilterConfig) -> tuple[Check, ...]:
    """Checks at the recipe's thresholds; without a list of banned words there is no rule on them."""
    out = []
    for check in checks:
        if check.setting in BANNED_WORD_RULES and not config.bans_words:
            continue
        own = getattr(config, check.setting) if check.setting else None
        rule = check.rule if own is None else replace(check.rule, threshold=float(own))
        out.append(replace(check, rule=rule))
    return tuple(out)


def _own_checks(table: Table, config: FilterConfig) -> list[Check]:
    in_table = {check.setting for phase in table.phases for check in phase.checks}
    checks = []
    for setting in BANNED_WORD_RULES:
        if (most := getattr(config, setting)) is not None and setting not in in_table:
            kind = RULES[setting]
            rule = Rule(reason=kind.reason, column=kind.column, op=kind.op, threshold=float(most), source="recipe")
            checks.append(Check(rule, setting))
    measured = kernel_columns(config)
    return checks + [Check(as_rule(own)) for own in config.own_rules if own.column in measured]


def as_rule(own: OwnRule) -> Rule:
    """A rule of the recipe as stages know rules."""
    threshold = tuple(own.threshold) if isinstance(own.threshold, list) else own.threshold
    return Rule(reason=own.reason, column=own.column, op=own.op, threshold=threshold, source=own.source)


def _insert(phases: list[Phase], check: Check, lists: list[PhraseList]) -> None:
    """Add a check to the phase that already measures its column, else to a last phase without edits."""
    for number, phase in enumerate(phases):
        if check.rule.column in measured_columns(phase, lists):
            phases[number] = replace(phase, checks=(*phase.checks, check))
            return
    if phases and not phases[-1].edits and not phases[-1].language:
        phases[-1] = replace(phases[-1], checks=(*phases[-1].checks, check))
    else:
        phases.append(Phase(checks=(check,)))
