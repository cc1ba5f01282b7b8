"""YAML text to plain data and back: one reader and one writer for recipes, experiments and `--set`.

PyYAML reads YAML 1.1, in which `1e9` and `1e-5` are strings; here they are the numbers that they look like, as in
YAML 1.2. What is read is JSON: mappings, lists, strings, numbers, true, false and null. Dates stay strings. A text
that would take the reader beyond its depth, or beyond memory by aliases of aliases, is refused before it is built.
"""

import re
from typing import Any

import yaml

from tamis.base.errors import ConfigError

MOST_DEPTH = 100
"""Deepest nesting of lists and mappings."""
MOST_NODES = 1_000_000
"""Largest number of values, with what aliases repeat."""

_FLOAT_TAG = "tag:yaml.org,2002:float"
_SCIENTIFIC = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+\Z")
"""Floating-point numbers with an exponent, as in YAML 1.2; PyYAML needs a point and the exponent's sign."""
_NOT_JSON = ("binary", "timestamp", "set", "omap", "pairs")


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2's floating-point numbers, and nothing that JSON does not have."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """PyYAML takes the last of two equal keys, which hides a mistake. What `<<` merges may be given again."""
        seen = set[tuple[str, str]]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that `_Loader` would take for numbers, and writes equal values in full instead of by aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _not_json(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    problem = f"a value of the kind {node.tag} has no place here"
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_FLOAT_TAG, _SCIENTIFIC, list("-+.0123456789"))
for _kind in _NOT_JSON:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _not_json)


def read_yaml(text: str, where: str) -> Any:
    """The data of a YAML text; `where` begins the message of the ConfigError that is raised when it is not valid."""
    try:
        _check_size(text)
        found = yaml.load(text, _Loader)
        _check_strings(found)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from None
    return found


def read_assignment(assignment: str, example: str) -> tuple[str, Any]:
    """The path and the value of `path.to.field=value`, as `--set` takes it. A value that is not valid YAML, such as
    `*.warc.gz`, is a string. Raises ConfigError when there is no '=', or a part of the path is empty."""
    path, equals, raw = assignment.partition("=")
    if not equals or not all(part.strip() for part in path.split(".")):
        raise ConfigError(f"--set {assignment}: expected path.to.field=value, as in {example}")
    try:
        return path.strip(), read_yaml(raw, "")
    except ConfigError:
        return path.strip(), raw


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `read_yaml` gives back."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _check_size(text: str) -> None:
    """Raises ValueError when the text is nested too deeply, or holds too many values once its aliases are replaced by
    what they stand for. Nothing is built, so both are found in the time that it takes to read the text once."""
    counts, names, sizes = [0], [""], dict[str, int]()
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            names.append(event.anchor or "")
            if len(counts) > MOST_DEPTH:
                raise ValueError(f"lists and mappings are nested more than {MOST_DEPTH} deep{event.start_mark}")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            count, name = counts.pop(), names.pop()
            sizes[name] = count
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in names:
                raise ValueError(f"'*{event.anchor}' stands inside of what it stands for{event.start_mark}")
            count = sizes.get(event.anchor or "", 1)
        else:
            count = 1
        counts[-1] += count
        if counts[-1] > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} values")


def _check_strings(value: Any) -> None:
    """Raises ValueError for a string that no file or column can have: with a NUL, or with half of a character."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        raise ValueError(f"the string {value!r:.60} has a character that no text can have")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
