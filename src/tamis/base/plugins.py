"""Objects that a recipe names outside of Tamis: `package.module:Name`, or `./my_filter.py:Name` beside the recipe.

A name is resolved to a `Plugin`. It is pickled without the object itself: it holds the source of the user's file, so
that a worker on another machine can make the object again, and the hash of that source, so that an edited file changes
the fingerprint. A module of an installed package is imported where it is used; it is identified by the hash of its file
and the version of its distribution.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from tamis.base.errors import ConfigError, TamisError, did_you_mean

_FILE = re.compile(r"(?P<place>[^\n]*\.py):(?P<name>[A-Za-z_]\w*)")
_MODULE = re.compile(r"(?P<place>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


def read_source(path: str) -> bytes:
    """The contents of the user's file; the only place where this module reads one."""
    return SourceFileLoader("tamis_plugin", path).get_data(path)


def names_plugin(spec: str) -> bool:
    """Whether `spec` has one of the two forms of a name outside of Tamis."""
    return _FILE.fullmatch(spec) is not None or _MODULE.fullmatch(spec) is not None


def object_in_file(spec: str) -> str | None:
    """The name of the object, where `spec` names one in a file of the user's; else None."""
    found = _FILE.fullmatch(spec)
    return found["name"] if found is not None else None


def anchored(data: Any, folder: Path) -> Any:
    """`data`, the raw YAML of a recipe, with every `./file.py:Name` in it (keys and values) made absolute from
    `folder`, where the recipe lies."""
    if isinstance(data, str):
        found = _FILE.fullmatch(data)
        if found is None or "://" in data:
            return data
        return f"{(folder / Path(found['place']).expanduser()).absolute()}:{found['name']}"
    if isinstance(data, list):
        return [anchored(item, folder) for item in data]
    if isinstance(data, dict):
        return {anchored(key, folder): anchored(value, folder) for key, value in data.items()}
    return data


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One named object. `place` is the file or the module, `source` the bytes of the file (empty for a module)."""

    name: str
    place: str
    source: bytes
    digest: str
    distribution: str = ""

    @property
    def spec(self) -> str:
        """The name in a form that any recipe can use, whatever folder the recipe is in."""
        return f"{self.place}:{self.name}"

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py")

    def identity(self) -> list[str]:
        """What the fingerprint covers: the source, but not the path of the file."""
        return [self.name, self.digest, self.distribution]

    def load(self) -> Any:
        """The object, made from the source on first use in this process. Raises ConfigError as `find` does."""
        return _attribute(self, self.place)


def find(spec: str, where: str, shipped: Iterable[str] = ()) -> Plugin:
    """The object that `spec` names; `where` is the name of the setting, `shipped` are the names of the objects that
    come with Tamis.

    Raises ConfigError when the name has neither form, when the file or module does not exist, cannot be imported or
    does not define the name, or when the object cannot be called.
    """
    file, module = _FILE.fullmatch(spec), _MODULE.fullmatch(spec)
    if file is not None:
        plugin = _from_file(file["place"], file["name"], where)
    elif module is not None:
        plugin = _from_module(module["place"], module["name"], where)
    else:
        names = list(shipped)
        hint = did_you_mean(spec, names) if names else ""
        raise ConfigError(f"{where}: no '{spec}'{hint}. Your own is named ./file.py:name or package.module:name")
    if not callable(_attribute(plugin, where)):
        raise ConfigError(f"{where}: {spec} is not a function or a class")
    return plugin


@contextmanager
def blamed(where: str, plugin: Plugin) -> Iterator[None]:
    """Turn every exception that the user's code raises inside into a ConfigError that names its file and line."""
    try:
        yield
    except TamisError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code can fail in any way
        raise ConfigError(f"{where}: {_what_happened(error, plugin.place)}") from None


def _from_file(place: str, name: str, where: str) -> Plugin:
    path = place if "://" in place else str(Path(place).expanduser().absolute())
    try:
        source = read_source(path)
    except OSError as error:
        raise ConfigError(
            f"{where}: cannot read {place} ({error.strerror}). A path is taken from the recipe's folder; "
            "one given with --set is taken from where the command runs"
        ) from None
    return Plugin(name=name, place=path, source=source, digest=_digest(source))


def _from_module(place: str, name: str, where: str) -> Plugin:
    module = _imported(place, where)
    spec = module.__spec__
    origin = spec.origin if spec is not None and spec.has_location else None
    source = b"" if origin is None else _data(module, origin)
    return Plugin(name=name, place=place, source=b"", digest=_digest(source), distribution=_distribution(place))


def _data(module: ModuleType, origin: str) -> bytes:
    get_data: Callable[[str], bytes] | None = getattr(module.__loader__, "get_data", None)
    return get_data(origin) if get_data is not None else read_source(origin)


def _distribution(module: str) -> str:
    """`name==version` of the installed distributions that provide the module; '' for a module that is only on the
    path."""
    names = sorted(set(importlib.metadata.packages_distributions().get(module.partition(".")[0], [])))
    return ",".join(f"{name}=={importlib.metadata.version(name)}" for name in names)


def _digest(source: bytes) -> str:
    return hashlib.blake2b(source, digest_size=16).hexdigest()


def _attribute(plugin: Plugin, where: str) -> Any:
    module = _module_of(plugin, where) if plugin.is_file else _imported(plugin.place, where)
    if not hasattr(module, plugin.name):
        own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise ConfigError(f"{where}: {plugin.place} has no '{plugin.name}'{did_you_mean(plugin.name, own)}")
    return getattr(module, plugin.name)


def _module_of(plugin: Plugin, where: str) -> ModuleType:
    """The user's file as a module. Its name in `sys.modules` holds the hash of its place and source: dataclasses and
    pickle look their module up there, and no other module can have that name."""
    name = f"tamis_plugin_{_digest(plugin.place.encode() + plugin.source)}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = plugin.place
    sys.modules[name] = module
    try:
        code = compile(plugin.source, plugin.place, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code can fail in any way
        del sys.modules[name]
        raise ConfigError(f"{where}: {_what_happened(error, plugin.place)}") from None
    return module


def _imported(place: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{where}: there is no module {error.name}. Install the package that has it into the environment of "
                "`tamis`, or name a file as ./file.py:name"
            ) from None
        raise ConfigError(f"{where}: {_what_happened(error, place)}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - so can the package's
        raise ConfigError(f"{where}: {_what_happened(error, place)}") from None


def _what_happened(error: BaseException, place: str) -> str:
    """One line: where in the user's own code an import failed, and with what."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.filename or place}, line {error.lineno}: {kind}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if frame.filename == place] or [
        frame for frame in frames if "importlib" not in frame.filename
    ]
    at = f"{own[-1].filename}, line {own[-1].lineno}" if own else place
    return " ".join(f"{at}: {kind}: {error}".split())
