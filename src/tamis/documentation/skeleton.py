"""Builds a substitute for a Python module from its syntax tree alone: it has names, signatures and docstrings, but no
behaviour.

Nothing of the module is imported or evaluated. Every function of a skeleton shares one empty body, every value that is
not a literal is an object that prints as its source text, and a base class from another module is an empty class of
that name. This is all that `pydoc` needs.
"""

import ast
import builtins
import importlib.util
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeGuard

from tamis.documentation.pydoc_pages import comments, inspect
from tamis.store.location import Location

MAX_SOURCE_BYTES = 400_000
"""Largest source file, in bytes. Larger files are generated tables, which would take seconds each."""
MAX_DEFINITIONS = 2_000
"""Largest number of functions and classes in a module."""
MAX_VALUE_LINES = 40
"""Values that span more source lines than this are not evaluated; pydoc prints 100 characters of them anyway."""
MAX_BASES_DEEP = 30
"""Longest chain of base classes followed within a module: pydoc prints the whole chain for every class."""
MAX_REEXPORTS_DEEP = 3
"""How many modules a re-exported name is followed through."""


class SkeletonError(Exception):
    """A module that gets no page; the message is the kind: `too_large`, `too_many_definitions`, `unreadable`."""


@dataclass(frozen=True)
class ModuleFile:
    """One module found on disk. `shown_path` is the path that its page gives, free of the machine's folders."""

    name: str
    place: Location
    shown_path: str

    @property
    def is_package(self) -> bool:
        return self.place.name == "__init__.py"


@dataclass
class Skeleton:
    """`module` holds the substitutes; `related` holds the skeletons of other modules that `module` re-exports from."""

    module: types.ModuleType
    related: dict[str, types.ModuleType] = field(default_factory=dict)


class _Source:
    """A value that is not a literal; prints as its source text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _empty(*args: object, **kwargs: object) -> None: ...


async def _empty_async(*args: object, **kwargs: object) -> None: ...


class Library:
    """All modules found, by dotted name; skeletons are built on demand and the latest are kept."""

    def __init__(self, modules: dict[str, ModuleFile]) -> None:
        self.modules = modules
        self.skeleton = lru_cache(maxsize=64)(self._build)

    def _build(self, name: str, depth: int = 0) -> Skeleton:
        """Raises SkeletonError when the module is not Python or over a limit. `depth` counts re-exports followed."""
        file = self.modules[name]
        if file.place.size() > MAX_SOURCE_BYTES:
            raise SkeletonError("too_large")
        try:
            source = importlib.util.decode_source(file.place.read_bytes())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
            return _ModuleBuilder(self, file, source.splitlines(), tree, depth).build()
        except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
            raise SkeletonError("unreadable") from error

    def find(self, module_name: str, attribute: str, depth: int) -> tuple[types.ModuleType, Any] | None:
        """Where `from module_name import attribute` leads: that module's skeleton and the object, if it is known."""
        if module_name not in self.modules or depth >= MAX_REEXPORTS_DEEP:
            return None
        try:
            module = self.skeleton(module_name, depth + 1).module
        except (SkeletonError, OSError):
            return None
        return (module, vars(module)[attribute]) if attribute in vars(module) else None


class _ModuleBuilder:
    """Walks one syntax tree and fills one skeleton."""

    def __init__(self, library: Library, file: ModuleFile, lines: list[str], tree: ast.Module, depth: int) -> None:
        self.library, self.file, self.lines, self.tree, self.depth = library, file, lines, tree, depth
        self.module = types.ModuleType(file.name, ast.get_docstring(tree, clean=False))
        self.imports: dict[str, tuple[str, str]] = {}
        self.quoted_annotations = False
        self.num_definitions = 0

    def build(self) -> Skeleton:
        module, skeleton = self.module, Skeleton(self.module)
        namespace = vars(module)
        if top := _comment_at_top(self.lines):
            comments[module] = top
        self.fill(namespace, self.tree.body, "")
        # Hooks that the interpreter would call on the skeleton itself, and attributes by which pydoc finds modules.
        for name in ("__getattr__", "__dir__", "__path__", "__spec__", "__loader__"):
            namespace.pop(name, None)
        module.__name__, module.__file__ = self.file.name, self.file.shown_path
        if self.file.is_package:
            module.__path__ = [str(self.file.place.parent)]
        exported = namespace.get("__all__")
        if not _is_names(exported):
            namespace.pop("__all__", None)
            return skeleton
        for name in exported:
            if name not in namespace and name in self.imports:
                found = self.library.find(*self.imports[name], self.depth)
                if found is not None:
                    skeleton.related[found[0].__name__] = found[0]
                    namespace[name] = found[1]
        return skeleton

    def fill(self, namespace: dict[str, Any], body: list[ast.stmt], prefix: str) -> None:
        """Define in `namespace` what the statements of `body` define; `prefix` is '' or the class name and a dot."""
        for statement, is_fallback in _definitions(body):
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    if not (is_fallback and statement.name in namespace):
                        namespace[statement.name] = self.function(namespace, statement, prefix)
                case ast.ClassDef():
                    if not (is_fallback and statement.name in namespace):
                        namespace[statement.name] = self.class_(namespace, statement, prefix)
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        if isinstance(target, ast.Name) and not (is_fallback and target.id in namespace):
                            namespace[target.id] = self.value(value, namespace)
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    if prefix and isinstance(annotations := namespace.setdefault("__annotations__", {}), dict):
                        annotations[name] = self.annotation(annotation)
                    if value is not None and not (is_fallback and name in namespace):
                        namespace[name] = self.value(value, namespace)
                case ast.AugAssign(target=ast.Name(id="__all__"), value=value):
                    self.extend_all(namespace, value)
                case ast.Import(names=names):
                    self.import_modules(namespace, names)
                case ast.ImportFrom():
                    self.import_names(namespace, statement)

    def extend_all(self, namespace: dict[str, Any], value: ast.expr) -> None:
        more, exported = self.value(value, namespace), namespace.get("__all__")
        if _is_names(more) and _is_names(exported):
            namespace["__all__"] = [*exported, *more]

    def import_modules(self, namespace: dict[str, Any], names: list[ast.alias]) -> None:
        for alias in names:
            bound = alias.asname or alias.name.partition(".")[0]
            name = alias.name if alias.asname else bound
            namespace.setdefault(bound, types.ModuleType(name))
            self.imports[bound] = (name, "")

    def import_names(self, namespace: dict[str, Any], statement: ast.ImportFrom) -> None:
        origin = statement.module or ""
        if statement.level:
            package = self.file.name if self.file.is_package else self.file.name.rpartition(".")[0]
            for _ in range(statement.level - 1):
                package = package.rpartition(".")[0]
            origin = f"{package}.{origin}".strip(".")
        if origin == "__future__":
            self.quoted_annotations |= any(alias.name == "annotations" for alias in statement.names)
            return
        for alias in statement.names:
            bound, submodule = alias.asname or alias.name, f"{origin}.{alias.name}"
            if submodule in self.library.modules:
                namespace.setdefault(bound, types.ModuleType(submodule))
                self.imports[bound] = (submodule, "")
            else:
                self.imports[bound] = (origin, alias.name)

    def count(self) -> None:
        self.num_definitions += 1
        if self.num_definitions > MAX_DEFINITIONS:
            raise SkeletonError("too_many_definitions")

    def function(self, namespace: dict[str, Any], node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> Any:
        """A function, or the classmethod, staticmethod or property that its decorators make of it."""
        self.count()
        code = (_empty_async if isinstance(node, ast.AsyncFunctionDef) else _empty).__code__
        function = types.FunctionType(code, {}, node.name)
        function.__qualname__ = prefix + node.name
        function.__module__ = self.file.name
        function.__doc__ = ast.get_docstring(node, clean=False)
        function.__signature__ = self.signature(node)  # type: ignore[attr-defined]
        if function.__doc__ is None and (above := _comment_above(self.lines, node)):
            comments[function] = above
        if not prefix:
            return function
        for decorator in node.decorator_list:
            before = namespace.get(node.name)
            match _last_name(decorator):
                case "staticmethod":
                    return staticmethod(function)
                case "classmethod":
                    return classmethod(function)
                case "property" | "cached_property" | "abstractproperty":
                    return property(function)
                case "setter" if isinstance(before, property):
                    return before.setter(function)
                case "deleter" if isinstance(before, property):
                    return before.deleter(function)
        return function

    def signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        parameter, args = inspect.Parameter, node.args
        positional = [*args.posonlyargs, *args.args]
        defaults = [*[None] * (len(positional) - len(args.defaults)), *args.defaults]
        kinds = [parameter.POSITIONAL_ONLY] * len(args.posonlyargs) + [parameter.POSITIONAL_OR_KEYWORD] * len(args.args)
        listed = list(zip(positional, kinds, defaults, strict=True))
        if args.vararg:
            listed.append((args.vararg, parameter.VAR_POSITIONAL, None))
        listed += [(a, parameter.KEYWORD_ONLY, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        if args.kwarg:
            listed.append((args.kwarg, parameter.VAR_KEYWORD, None))
        built = [
            parameter(
                argument.arg,
                kind,
                default=parameter.empty if default is None else self.value(default, {}),
                annotation=self.annotation(argument.annotation) if argument.annotation else parameter.empty,
            )
            for argument, kind, default in listed
        ]
        returns = self.annotation(node.returns) if node.returns else inspect.Signature.empty
        return inspect.Signature(built, return_annotation=returns)

    def annotation(self, node: ast.expr) -> Any:
        text = ast.unparse(node)
        # Under `from __future__ import annotations` pydoc shows annotations as the strings they are.
        return text if self.quoted_annotations else _Source(text)

    def class_(self, namespace: dict[str, Any], node: ast.ClassDef, prefix: str) -> Any:
        self.count()
        inside: dict[str, Any] = {}
        self.fill(inside, node.body, f"{prefix}{node.name}.")
        inside = {name: value for name, value in inside.items() if not isinstance(value, types.ModuleType)}
        for name in ("__dict__", "__weakref__", "__classcell__"):
            inside.pop(name, None)
        inside["__module__"] = self.file.name
        inside["__qualname__"] = prefix + node.name
        inside["__doc__"] = ast.get_docstring(node, clean=False)
        bases = tuple(self.base(base, namespace) for base in node.bases if not isinstance(base, ast.Starred))
        if any(len(base.__mro__) > MAX_BASES_DEEP for base in bases):
            bases = ()
        made = _make_class(node.name, bases, inside)
        if made.__doc__ is None and (above := _comment_above(self.lines, node)):
            comments[made] = above
        return made

    def base(self, node: ast.expr, namespace: dict[str, Any]) -> type:
        """The class that a base-class expression names: of this module, built in, or an empty one of that name."""
        if isinstance(node, ast.Subscript):
            node = node.value
        if isinstance(node, ast.Call):
            node = node.func
        dotted = ast.unparse(node)
        if isinstance(node, ast.Name):
            known = namespace.get(dotted, vars(self.module).get(dotted, getattr(builtins, dotted, None)))
            if isinstance(known, type):
                return known
        first, _, rest = dotted.partition(".")
        origin, attribute = self.imports.get(first, (self.file.name, first))
        module, _, name = ".".join(part for part in (origin, attribute, rest) if part).rpartition(".")
        return type(name or dotted, (), {"__module__": module or origin})

    def value(self, node: ast.expr, namespace: dict[str, Any]) -> Any:
        """A literal's value, the object that a name of this module stands for, or the source text."""
        if isinstance(node, ast.Name):
            known = namespace.get(node.id)
            if known is not None:
                return known
            known = getattr(builtins, node.id, None)
            return known if isinstance(known, type) else _Source(node.id)
        if (node.end_lineno or node.lineno) - node.lineno > MAX_VALUE_LINES:
            return _Source(self.lines[node.lineno - 1].strip())
        # A set of strings prints in another order in every process.
        if not any(isinstance(part, ast.Set | ast.Call) for part in ast.walk(node)):
            try:
                return ast.literal_eval(node)
            except (ValueError, TypeError):
                pass
        return _Source(ast.unparse(node))


def _definitions(body: list[ast.stmt], is_fallback: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements of `body` and of the branches in it that run on import; fallbacks (`else`, `except`) are marked."""
    for statement in body:
        match statement:
            case ast.If(test=test, body=inner, orelse=other):
                condition = ast.unparse(test) if isinstance(test, ast.Name | ast.Attribute | ast.Compare) else ""
                runs = "TYPE_CHECKING" not in condition and not condition.startswith("__name__ ==")
                yield from _definitions(inner if runs else [], is_fallback)
                yield from _definitions(other, runs or is_fallback)
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=final):
                yield from _definitions([*inner, *other, *final], is_fallback)
                for handler in handlers:
                    yield from _definitions(handler.body, True)
            case ast.With(body=inner):
                yield from _definitions(inner, is_fallback)
            case _:
                yield statement, is_fallback


def _make_class(name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    """`type(...)`, without the bases or the slots where those do not go together."""
    without_slots = {key: value for key, value in namespace.items() if key != "__slots__"}
    for these_bases, these_names in ((bases, namespace), (bases, without_slots)):
        try:
            return type(name, these_bases, these_names)
        except (TypeError, ValueError):
            continue
    return type(name, (), without_slots)


def _is_names(value: Any) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _last_name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    return getattr(decorator, "attr", getattr(decorator, "id", ""))


def _comment_at_top(lines: list[str]) -> str:
    """The comment block that a file begins with, after a `#!` line: as a rule its licence."""
    start = 1 if lines and lines[0].startswith("#!") else 0
    while start < len(lines) and lines[start].strip() in ("", "#"):
        start += 1
    end = start
    while end < len(lines) and lines[end].startswith("#"):
        end += 1
    return "\n".join(lines[start:end]).expandtabs()


def _comment_above(lines: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """The comment lines directly above a definition, indented as it is."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    start = first
    while start > 0 and lines[start - 1].lstrip().startswith("#"):
        if len(lines[start - 1]) - len(lines[start - 1].lstrip()) != node.col_offset:
            break
        start -= 1
    return "\n".join(line.strip().expandtabs() for line in lines[start:first])
