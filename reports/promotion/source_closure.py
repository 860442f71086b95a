"""Every file that a strategy is made of: its class's, and what that imports, and so on, found in the sources.

    source_closure(strategy, pinned)       # {"breakout.py": sha256, "desk/levels.py": sha256, ...}

The sources are read, not what happens to be loaded, and a file goes by its module's name: the same strategy has the
same closure on every machine. Bytes count: a comment that changes is a change. It ends at Python's own library, at
packages that requirements.lock pins, and at `data` and `engine`, which `engine_files` has whole. An installed package
that the lock does not pin is in it by the bytes of all its files.

What a strategy reads while it runs (a file of weights, an address) is no import: make it a parameter, or a field of the
market.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import Any, Final

from data.errors import ValidationError
from engine.strategy import Strategy

_WHOLE: Final = ("data", "engine")  # every file of theirs is judged: engine_files
_OURS: Final = "ladder"
_BY_NAME: Final = ("import_module", "__import__")
_UNSEEN: Final = (*_BY_NAME, "spec_from_file_location", "run_path", "run_module")
_BOOKKEEPING: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # of an installer: differ by machine


def source_closure(strategy: Strategy, pinned: Collection[str]) -> dict[str, str]:
    """SHA-256 of each file, by its name within its package.

    Args:
        strategy: what is judged; classes of its parameters count too.
        pinned: canonical names of the packages that requirements.lock pins.

    Raises:
        ValidationError: a class that no file holds, a file that is no Python, or an import that the source does not
            name.
    """
    graph = _Graph(frozenset(pinned))
    for kind in _classes(strategy):
        graph.root(kind)
    return dict(sorted(graph.files.items()))


def engine_files() -> dict[str, str]:
    """SHA-256 of each source file of `data` and `engine`, by its path within Ladder."""
    root = Path(__file__).resolve().parents[2]
    paths = sorted(path for package in _WHOLE for path in (root / package).rglob("*.py"))
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in paths}


def canonical_name(package: str) -> str:
    """A package's name as indices compare it: lower case, "-" for each run of "-", "_" and "."."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _classes(value: Any) -> Iterator[type]:
    """The classes of a strategy or parameter, their bases, and those of what they hold."""
    for kind in (value if isinstance(value, type) else type(value)).__mro__:
        if kind is Strategy or kind is object:
            break
        yield kind
    held: list[Any] = []
    if is_dataclass(value) and not isinstance(value, type):
        held = [getattr(value, item.name) for item in fields(value)]
    elif isinstance(value, tuple | list):
        held = list(value)
    elif isinstance(value, Mapping):
        held = list(value.values())
    for one in held:
        yield from _classes(one)


class _Graph:
    """The files found so far, and how to find more.

    Args:
        pinned: canonical names of packages at which it ends.
    """

    def __init__(self, pinned: frozenset[str]) -> None:
        self.files: dict[str, str] = {}
        self._pinned = pinned
        self._paths: dict[str, Path] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        self._seen: set[str] = set()
        self._opened: set[str] = set()

    def root(self, kind: type) -> None:
        """A class's file."""
        name = kind.__module__
        told = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
            return
        if told is None or not Path(told).is_file():
            raise ValidationError(
                f"{kind.__qualname__}: no file holds its source (module {name!r}); write it into a file, so that what "
                "was judged can be found again"
            )
        file = Path(told).resolve()
        spec = self._spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file:
            self.module(name)
        elif self._paths.get(file.name, file) == file:  # a file that was named as such, and is no module of a package
            self._add(file.name, file, "")
        else:
            self._add(f"{file.parent.name}/{file.name}", file, "")

    def module(self, name: str, *, whole: bool = False) -> bool:
        """A module and the packages it lies in; whether there is such a module.

        Args:
            name: dotted.
            whole: names that it imports when they are first used may all be used.
        """
        spec = self._spec(name)
        if spec is None:
            return False
        top = name.partition(".")[0]
        if top in _WHOLE:
            return True
        if spec.origin is None or not spec.has_location:  # a namespace, or a part of Python itself
            return True
        file = Path(spec.origin).resolve()
        if self._ends_at(top, file):
            return True
        parent = name.rpartition(".")[0]
        if parent:
            self.module(parent)
        package = name if spec.submodule_search_locations is not None else parent
        path = name.replace(".", "/") + ("/__init__" if package == name else "")
        tree = self._add(f"{path}{file.suffix}", file, package)
        if whole and name not in self._opened and tree is not None:
            self._opened.add(name)
            for home in _homes(tree).values():
                self.module(home)
        return True

    def _add(self, key: str, file: Path, package: str) -> ast.Module | None:
        """One file, and what it imports; its tree, or None where it has no source that could be read."""
        content = file.read_bytes()
        self._paths[key] = file
        self.files[key] = sha256(content).hexdigest()
        if file.suffix != ".py":  # compiled: its bytes are all there is
            return None
        tree = _tree(file, content)
        if key not in self._seen:
            self._seen.add(key)
            for node in _nodes(tree):
                self._follow(node, file, package)
        return tree

    def _follow(self, node: ast.AST, file: Path, package: str) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.module(alias.name, whole=True)
                if alias.asname is None:  # the name that is bound is the outermost package's
                    self.module(alias.name.partition(".")[0], whole=True)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base is None or not self.module(base):
                return
            for alias in node.names:
                self._member(base, alias.name)
        elif isinstance(node, ast.Call) and (called := _called(node)) in _UNSEEN:
            first = node.args[0] if node.args else None
            if called in _BY_NAME and isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.module(first.value, whole=True)
                return
            raise ValidationError(
                f"{file}:{node.lineno}: {called} imports what is only known when it runs, and no record can bind it; "
                "import it by its name"
            )

    def _member(self, base: str, name: str) -> None:
        """`from base import name`: a module, or what the package imports when that name is first used."""
        if base.partition(".")[0] in _WHOLE:
            return
        if name == "*":
            self.module(base, whole=True)
            return
        spec = self._spec(base)
        if spec is None or spec.submodule_search_locations is None:
            return
        if self.module(f"{base}.{name}", whole=True) or spec.origin is None or not spec.has_location:
            return
        file = Path(spec.origin)
        if file.suffix == ".py" and not self._ends_at(base.partition(".")[0], file.resolve()):
            home = _homes(_tree(file, file.read_bytes())).get(name)
            if home is not None:
                self.module(home)

    def _ends_at(self, top: str, file: Path) -> bool:
        """Whether a module is Python's, or an installed package's: the latter is added where no lock pins it."""
        if _installed(file):
            owners = [name for name in _owners().get(top, ()) if canonical_name(name) != _OURS]
            for name in owners:
                self._package(canonical_name(name))
            return bool(owners)
        return _python_own(file)

    def _package(self, name: str) -> None:
        """An installed package and what it requires, unless the lock pins it."""
        found = _distribution(name)
        if found is None or name in self._pinned or f"package:{name}" in self._seen:
            return
        self._seen.add(f"package:{name}")
        digest = sha256()
        for path in sorted(found.files or (), key=str):
            place = Path(str(path.locate()))
            if path.suffix == ".pyc" or path.parts[0] == ".." or path.name in _BOOKKEEPING or not place.is_file():
                continue
            digest.update(f"{path.as_posix()} {sha256(place.read_bytes()).hexdigest()}\n".encode())
        self.files[f"{name} {found.version} (installed, not in requirements.lock)"] = digest.hexdigest()
        for need in found.requires or ():
            if "extra ==" not in need and (wanted := re.match(r"[\w.-]+", need)):
                self._package(canonical_name(wanted[0]))

    def _spec(self, name: str) -> ModuleSpec | None:
        """Where a module is, without importing it or a package above it; None where there is none."""
        if name not in self._specs:
            parent = name.rpartition(".")[0]
            above = self._spec(parent) if parent else None
            places = None if above is None else above.submodule_search_locations
            self._specs[name] = None if parent and places is None else _found(name, places)
        return self._specs[name]


def _found(name: str, places: Any) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(name, None if places is None else list(places))
        if spec is not None:
            return spec
    return None


def _tree(file: Path, content: bytes) -> ast.Module:
    try:
        return ast.parse(content, filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise ValidationError(f"{file}: cannot be read as Python ({error})") from error


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All that can run: not what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _names_type_checking(node.test):
            for other in node.orelse:
                yield other
                yield from _nodes(other)
            continue
        yield node
        yield from _nodes(node)


def _names_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _base(node: ast.ImportFrom, package: str) -> str | None:
    """The module of a `from` import; None of one that leaves its package."""
    if not node.level:
        return node.module
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return None
    above = parts[: len(parts) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _homes(tree: ast.Module) -> dict[str, str]:
    """The modules of the names that a package hands to `data.lazy.lazy_names`."""
    if not any(isinstance(node, ast.Call) and _called(node) == "lazy_names" for node in ast.walk(tree)):
        return {}
    return {
        str(key.value): str(value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
    }


def _installed(file: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts)


def _python_own(file: Path) -> bool:
    return any(file.is_relative_to(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib"))


@cache
def _owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except ModuleNotFoundError:  # PackageNotFoundError is one
        return None
