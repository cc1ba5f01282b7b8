"""Private copies of the standard library's `pydoc` and `inspect`, which see only the module that is being rendered.

Both ask `sys.modules` which module an object belongs to, and read source files for comments. Pages are made of
skeletons that must never enter the real `sys.modules` (a skeleton `re` there would break the interpreter), so the
copies get a `sys` of their own. Nothing of the real `pydoc`, `inspect` or `sys` is changed.
"""

import builtins
import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

comments: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Function, class or module -> the comment block above its definition, which pydoc shows where a docstring is
missing."""


class _PrivateSys:
    """`sys` with another `modules`."""

    def __init__(self) -> None:
        self.modules: Mapping[str, ModuleType] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def _private_copy(name: str) -> Any:
    """Load standard-library module `name` once more, without registering it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _comments_of(thing: Any) -> str | None:
    try:
        return comments.get(getattr(thing, "__func__", thing))
    except TypeError:  # not weakly referable: a property, a number
        return None


_sys = _PrivateSys()
inspect: Any = _private_copy("inspect")
inspect.sys = _sys
inspect.getabsfile = lambda module: module.__file__
inspect.getcomments = _comments_of
_pydoc: Any = _private_copy("pydoc")
_pydoc.sys = _sys
_pydoc.inspect = inspect


def render(module: ModuleType, related: Mapping[str, ModuleType], library: str) -> str:
    """The HTML page that pydoc makes of `module`.

    `related`: other modules by name, to whose classes pydoc may link; `library`: what `module.__file__` starts with for
    modules of the standard library, which get a link to their reference.
    """
    _sys.modules = {"builtins": builtins, **related, module.__name__: module}
    formatter = _pydoc.HTMLDoc()
    formatter.getdocloc = lambda thing: _pydoc.HTMLDoc.getdocloc(formatter, thing, library)
    contents = formatter.document(module, module.__name__)
    html: str = formatter.page(_pydoc.describe(module), contents)
    return html
