"""No module outside `store` opens, renames, globs or locks a file, checked on the syntax tree.

A file that is reached through a `Location` or an `Asset` can lie on an object store, and what is written appears whole;
a file that is reached in any other way cannot and may not. The rules below name what touches files. A method whose
name `pathlib` shares with `Location` (`exists`, `read_text`, ...) is told apart by what it is called on; and since most
of what would be a `pathlib.Path` is made by naming that class, importing it is refused too.
"""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "tamis"

EXCEPTIONS: dict[str, dict[str, str]] = {
    "base/stage.py": {
        "from pathlib import Path": "Asset and ScratchFolder promise a path to libraries that take nothing else",
    },
    "base/plugins.py": {
        "from pathlib import Path": "the address of the user's Python file is made absolute; Python's loader reads it",
        ".expanduser()": "the same address",
    },
    "stages/dedup/semantic/embedders.py": {
        "from pathlib import Path": "sentence-transformers opens the folder of a model by its path",
        ".expanduser()": "the same folder",
        ".is_dir()": "the same folder",
        ".rglob()": "its files are the assets of the stage",
        "Path.is_file()": "the same files",
        "Path.read_text()": "the length of the embeddings, asked before anything is opened",
    },
    "documentation/crawl.py": {
        ".is_symlink()": "a package that is a link to a folder around it would be searched for ever",
    },
    "train/checkpoint.py": {
        "torch.save()": "writes into the folder that `publish_folder` makes visible as a whole",
        "torch.load()": "maps the weights from the local copy of a location",
    },
    "kernels/__init__.py": {
        ".mkdir()": "marks beside Numba's own cache files say which kernels are compiled",
        ".touch()": "the same marks",
    },
    "kernels/*jit.py": {
        "from pathlib import Path": "names the folder of Numba's cache, which no store knows",
        ".rglob()": "the key of Numba's cache is a digest of the package's own sources",
        "Path.read_bytes()": "the same digest",
    },
    "kernels/*make_tables.py": {
        "numpy.savez_compressed()": "makes the shipped table of Unicode properties; run by a developer, never by Tamis",
    },
    "kernels/text/matching.py": {
        "from pathlib import Path": "names the shipped table for `make_tables`, which writes it",
        "numpy.load()": "reads the shipped table",
    },
    "kernels/*unicode_tables.py": {
        "from pathlib import Path": "names the shipped table for `make_tables`, which writes it",
        "numpy.load()": "reads the shipped table",
    },
}
"""Pattern of modules -> what they may do all the same, and why."""

# Functions of these modules touch files, but for those named.
FILE_MODULES: dict[str, frozenset[str]] = {
    "os": frozenset(
        ("os.environ.get", "os.environ.clear", "os.environ.setdefault", "os.environ.pop", "os.environ.copy",
         "os.environ.update", "os.getenv", "os.getpid", "os.getppid", "os.cpu_count", "os.sched_getaffinity",
         "os.kill", "os.killpg", "os.getpgid", "os._exit", "os.getloadavg", "os.urandom",
         "os.uname", "os.sysconf", "os.isatty", "os.strerror",
         "os.process_cpu_count", "os.get_terminal_size", "os.nice", "os.fspath", "os.waitpid", "os.setsid",
         "os.path.join", "os.path.basename", "os.path.dirname", "os.path.splitext", "os.path.commonprefix")
    ),
    "shutil": frozenset(("shutil.get_terminal_size", "shutil.which")),
    "tempfile": frozenset(),
    "glob": frozenset(("glob.has_magic", "glob.escape")),
    "fcntl": frozenset(),
    "fsspec": frozenset(),
    "gzip": frozenset(("gzip.compress", "gzip.decompress")),
    "bz2": frozenset(("bz2.compress", "bz2.decompress")),
    "lzma": frozenset(("lzma.compress", "lzma.decompress")),
    "tarfile": frozenset(),
    "zipfile": frozenset(),
    "sqlite3": frozenset(),
    "shelve": frozenset(),
    "fileinput": frozenset(),
    "linecache": frozenset(),
    "pathlib": frozenset(("pathlib.PurePath", "pathlib.PurePosixPath")),
    "pyarrow.parquet": frozenset(),
    "pyarrow.dataset": frozenset(),
    "pyarrow.csv": frozenset(),
    "pyarrow.json": frozenset(),
    "pyarrow.feather": frozenset(),
    "pyarrow.fs": frozenset(),
}  # fmt: skip

FILE_FUNCTIONS = frozenset(
    ("open", "io.open", "io.FileIO", "io.open_code", "codecs.open",
     "pyarrow.memory_map", "pyarrow.create_memory_map", "pyarrow.OSFile", "pyarrow.input_stream",
     "pyarrow.output_stream",
     "numpy.load", "numpy.save", "numpy.savez", "numpy.savez_compressed", "numpy.memmap", "numpy.fromfile",
     "numpy.loadtxt", "numpy.savetxt", "numpy.genfromtxt", "numpy.lib.format.open_memmap",
     "torch.save", "torch.load", "torch.from_file", "safetensors.torch.save_file", "safetensors.torch.load_file",
     "safetensors.safe_open", "orjson.load", "yaml.load_file", "fasttext.load_model")
)  # fmt: skip

PATH_METHODS = frozenset(
    ("write_bytes", "unlink", "rename", "glob", "rglob", "iterdir", "walk", "mkdir", "rmdir", "touch", "stat", "lstat",
     "chmod", "is_dir", "is_symlink", "symlink_to", "hardlink_to", "link_to", "samefile", "expanduser", "readlink",
     "tofile")
)  # fmt: skip
"""Methods of `pathlib` (and one of numpy's arrays) that no `Location` and no `Asset` has."""

SHARED_METHODS = frozenset(
    ("exists", "is_file", "read_text", "read_bytes", "resolve", "absolute", "open", "write_text")
)
"""Methods that `pathlib` shares with others: refused on what is seen to be a path."""

_MODE = re.compile(r"[rwxa][bt]?\+?|[bt][rwxa]\+?")


def modules() -> list[Path]:
    """Every module that the rules hold for."""
    names = {path: path.relative_to(SRC).as_posix() for path in sorted(SRC.rglob("*.py"))}
    return [path for path, name in names.items() if not name.startswith("store/")]


class Rules(ast.NodeVisitor):
    """Collects (line, what) for everything in one module that touches files."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []
        self._imported: dict[str, str] = {}
        """Local name -> the dotted name that it stands for."""

    # Names.

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            local = alias.asname or alias.name.partition(".")[0]
            self._imported[local] = alias.name if alias.asname else local

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            if f"{node.module}.{alias.name}" in ("pathlib.Path", "pathlib.PosixPath"):
                self.found.append((node.lineno, f"from pathlib import {alias.name}"))

    def _dotted(self, node: ast.expr) -> str | None:
        """`np.lib.save` as `numpy.lib.save`; None for what is no chain of names that begins with an import, or with a
        built-in function."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, node.id if node.id == "open" else None)
        if isinstance(node, ast.Attribute) and (before := self._dotted(node.value)) not in (None, "open"):
            return f"{before}.{node.attr}"
        return None

    # Calls.

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        if name is not None:
            # Of a class that was imported by name, the import is what is refused.
            imported = isinstance(node.func, ast.Name) and name.startswith("pathlib.")
            if name in FILE_FUNCTIONS or (_touches_files(name) and not imported):
                self.found.append((node.lineno, f"{name}()"))
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        self.generic_visit(node)

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        name, receiver = function.attr, function.value
        if self._is_package_data(receiver):
            return
        if name in PATH_METHODS:
            self.found.append((node.lineno, f".{name}()"))
        elif name in SHARED_METHODS and self._is_path(receiver):
            self.found.append((node.lineno, f"Path.{name}()"))
        elif (name == "open" and _has_mode(node)) or (name in ("write_text", "replace") and len(node.args) == 1):
            # A scratch folder's `write_text` takes a name and a text, the `replace` of strings takes two texts.
            self.found.append((node.lineno, f".{name}()"))

    def _is_package_data(self, node: ast.expr) -> bool:
        """Whether it comes from `importlib.resources.files(...)`."""
        while True:
            if isinstance(node, ast.Call):
                if self._dotted(node.func) == "importlib.resources.files":
                    return True
                node = node.func
            elif isinstance(node, ast.Attribute):
                node = node.value
            else:
                return False

    def _is_path(self, node: ast.expr) -> bool:
        """Whether it is seen to be a `pathlib.Path`: made by that class, or asked of a location."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self._is_path(node.left)
        if isinstance(node, ast.Name):
            return node.id == "path"
        if isinstance(node, ast.Attribute):
            return node.attr in ("path", "parent") and (node.attr == "path" or self._is_path(node.value))
        if isinstance(node, ast.Call):
            made = self._dotted(node.func)
            if made is not None:
                return made.startswith("pathlib.")
            return isinstance(node.func, ast.Attribute) and (
                node.func.attr in ("local_path", "path")
                or (node.func.attr in ("with_name", "with_suffix") and self._is_path(node.func.value))
            )
        return False


def _touches_files(name: str) -> bool:
    modules = (module for module in FILE_MODULES if name.startswith(f"{module}."))
    return any(name not in FILE_MODULES[module] for module in modules)


def _has_mode(node: ast.Call) -> bool:
    """Whether a call of some `open` method names a mode, or nothing, as those of files do."""
    if any(keyword.arg in ("mode", "encoding") for keyword in node.keywords):
        return True
    if not node.args:
        return not node.keywords
    first = node.args[0]
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and bool(_MODE.fullmatch(first.value))


def found_in(source: str) -> list[str]:
    rules = Rules()
    rules.visit(ast.parse(source))
    return [what for _, what in rules.found]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_files_are_reached_through_the_store(path: Path) -> None:
    name = path.relative_to(SRC).as_posix()
    rules = Rules()
    rules.visit(ast.parse(path.read_text(encoding="utf-8")))
    allowed = {what for pattern, those in EXCEPTIONS.items() if fnmatch(name, pattern) for what in those}
    for line, what in rules.found:
        assert what in allowed, (
            f"src/tamis/{name}:{line}: {what} touches a file outside `store`. Take a Location (tamis.store.location) "
            "or an Asset (tamis.base.stage) instead, or read package data through importlib.resources.files."
        )


def test_every_exception_is_needed() -> None:
    for pattern, allowed in EXCEPTIONS.items():
        found = {
            what
            for path in modules()
            if fnmatch(path.relative_to(SRC).as_posix(), pattern)
            for what in found_in(path.read_text(encoding="utf-8"))
        }
        assert not set(allowed) - found, f"{pattern}: {sorted(set(allowed) - found)} is no longer done"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("open('x')", "open()"),
        ("with open(name, 'wb') as f: pass", "open()"),
        ("import os\nos.replace(a, b)", "os.replace()"),
        ("import os\nos.path.exists(a)", "os.path.exists()"),
        ("import os as system\nsystem.fsync(3)", "os.fsync()"),
        ("from os import rename as move\nmove(a, b)", "os.rename()"),
        ("from os import path as p\np.isfile(a)", "os.path.isfile()"),
        ("from os.path import getsize\ngetsize(a)", "os.path.getsize()"),
        ("import shutil\nshutil.rmtree(a)", "shutil.rmtree()"),
        ("import tempfile\ntempfile.TemporaryDirectory()", "tempfile.TemporaryDirectory()"),
        ("from tempfile import mkdtemp\nmkdtemp()", "tempfile.mkdtemp()"),
        ("import glob\nglob.glob('*')", "glob.glob()"),
        ("import fcntl\nfcntl.flock(f, 2)", "fcntl.flock()"),
        ("import gzip\ngzip.open(a)", "gzip.open()"),
        ("import fsspec\nfsspec.open(a)", "fsspec.open()"),
        ("import pyarrow.parquet as pq\npq.read_table(a)", "pyarrow.parquet.read_table()"),
        ("import pyarrow.parquet as pq\npq.ParquetFile(a).metadata", "pyarrow.parquet.ParquetFile()"),
        ("from pyarrow import dataset\ndataset.dataset(a)", "pyarrow.dataset.dataset()"),
        ("import pyarrow as pa\npa.memory_map(a)", "pyarrow.memory_map()"),
        ("import numpy as np\nnp.memmap(a)", "numpy.memmap()"),
        ("import numpy as np\nnp.load(a)", "numpy.load()"),
        ("import numpy\nnumpy.fromfile(a)", "numpy.fromfile()"),
        ("array.tofile(a)", ".tofile()"),
        ("import torch\ntorch.save(a, b)", "torch.save()"),
        ("import torch\ntorch.load(a)", "torch.load()"),
        ("from pathlib import Path", "from pathlib import Path"),
        ("from pathlib import Path as P", "from pathlib import Path"),
        ("import pathlib\npathlib.Path(a)", "pathlib.Path()"),
        ("folder.iterdir()", ".iterdir()"),
        ("(folder / 'x').mkdir(parents=True)", ".mkdir()"),
        ("file.unlink(missing_ok=True)", ".unlink()"),
        ("file.stat().st_size", ".stat()"),
        ("folder.rglob('*')", ".rglob()"),
        ("file.write_bytes(b'')", ".write_bytes()"),
        ("file.write_text('x')", ".write_text()"),
        ("file.write_text('x', encoding='utf-8')", ".write_text()"),
        ("file.open()", ".open()"),
        ("file.open('rb')", ".open()"),
        ("file.open(mode='w')", ".open()"),
        ("place.path.exists()", "Path.exists()"),
        ("place.path.replace(other)", ".replace()"),
        ("place.path.parent.is_file()", "Path.is_file()"),
        ("asset.local_path().read_bytes()", "Path.read_bytes()"),
        ("folder.path('x').read_text()", "Path.read_text()"),
        ("place.path.with_name('x').exists()", "Path.exists()"),
        ("file.replace(target)", ".replace()"),
        ("def f(path): return path.exists()", "Path.exists()"),
    ],
)  # fmt: skip
def test_what_touches_files_is_seen(source: str, what: str) -> None:
    assert what in found_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "text.replace('a', 'b')",
        "'a'.replace('a', 'b').replace('c', 'd')",
        "text.strip().replace('a', 'b')",
        "path.replace('/', '_')",
        "moment.replace(hour=1)",
        "import dataclasses\ndataclasses.replace(shard, size=1)",
        "import os\nos.environ.get('A')\nos.getpid()\nos.environ['A']",
        "from pathlib import PurePosixPath\nPurePosixPath('a/b').name",
        "from importlib.resources import files\nfiles('tamis').joinpath('x').read_text('utf-8')",
        "from importlib import resources\nsorted(resources.files('tamis').joinpath('x').iterdir())",
        "place.exists() or place.is_file() or place.read_text() or place.read_bytes()",
        "asset.open_read()\nasset.open_local()\nasset.local_path()",
        "stage.open(context)\nself.open(self.context)",
        "folder.write_text('train.txt', text)",
        "from tamis.store.atomic import write_text\nwrite_text(place, text)",
        "import pyarrow as pa\npa.BufferReader(data)\npa.CompressedInputStream(stream, 'gzip')",
        "import gzip\ngzip.decompress(data)",
        "import numpy as np\nnp.frombuffer(data)",
        "class A:\n    def open(self, context): ...",
        "opened(3)",
        "import webbrowser\nwebbrowser.open(address)",
    ],
)
def test_what_touches_no_file_is_no_false_alarm(source: str) -> None:
    assert found_in(source) == []
