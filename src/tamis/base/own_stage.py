"""A stage that a recipe names outside of Tamis: a subclass of Map or Group, in a package or in a file of the user's.

It runs like the stages of Tamis, with the same accounting and the same limits. A class in a file of the user's cannot
be imported by name in a worker process: `_reduced` makes its objects pickle together with the source of that file.
"""

import copyreg
import pickle
import re
from typing import Any

from tamis.base.config import Config
from tamis.base.errors import ConfigError
from tamis.base.plugins import Plugin, blamed, find
from tamis.base.stage import Group, Map, Stage


def own_stage(spec: str, settings: dict[str, Any] | None) -> Stage:
    """The stage that a recipe's entry `spec: settings` names: a subclass of Map or Group, whose settings are its nested
    class `Settings`, a Config.

    Raises ConfigError when it is not such a class, or the settings do not fit it.
    """
    plugin = find(spec, "stages")
    made = plugin.load()
    if not (isinstance(made, type) and issubclass(made, Map | Group)):
        raise ConfigError(f"stages: {spec} is not a stage; write a subclass of tamis.base.stage.Map or Group")
    missing = sorted(made.__abstractmethods__) + [name for name in ("name", "version") if not hasattr(made, name)]
    if missing:
        raise ConfigError(f"stages: {spec} lacks {', '.join(missing)}, which every stage has")
    config = getattr(made, "Settings", Config)
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise ConfigError(f"stages: the class Settings of {spec} must be a subclass of tamis.base.config.Config")
    if not (isinstance(made.name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", made.name)):
        raise ConfigError(
            f"stages: the name of {spec}, {made.name!r}, must be lower-case letters, digits and underscores"
        )
    with blamed("stages", plugin):
        stage = _made(plugin)(config.parse(settings, made.name))
    stage.plugin = plugin
    return stage


def _made(plugin: Plugin) -> type[Stage]:
    """Load the class, and register it with pickle."""
    made: type[Stage] = plugin.load()
    if plugin.is_file:
        copyreg.pickle(made, _reduced)
    return made


def _reduced(stage: Stage) -> tuple[Any, ...]:
    """The state is pickled separately, because it can be unpickled only after `_restored` has made the module that it
    refers to."""
    assert stage.plugin is not None
    return _restored, (stage.plugin, pickle.dumps(stage.__dict__))


def _restored(plugin: Plugin, state: bytes) -> Stage:
    made = _made(plugin)
    stage = made.__new__(made)
    stage.__dict__.update(pickle.loads(state))
    return stage
