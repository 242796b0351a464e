"""Planting: the modules of a mutant are loaded from changed source.

The change is made between the file and the compiler, so that everything a module computes when it
is loaded (tables of handlers, names that others import, SQL texts) comes from the changed source,
and no file is touched. Line numbers stay true as far as an edit keeps its number of lines.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import CodeType, ModuleType

from sim.mutants import Edit


class CannotPlant(Exception):
    """A mutant does not fit the code, or its module is loaded already."""


def changed(source: str, edits: Sequence[Edit]) -> str:
    """The source after the edits, one after the other. Raises CannotPlant."""
    for edit in edits:
        found = source.count(edit.old)
        if found != 1:
            raise CannotPlant(f"{edit.module} has {found} times, not once: {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    return source


def by_module(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    modules: dict[str, list[Edit]] = {}
    for edit in edits:
        modules.setdefault(edit.module, []).append(edit)
    return modules


def planted_code(module: str, edits: Sequence[Edit]) -> CodeType:
    """The code of the changed module, which is not loaded. Raises CannotPlant."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise CannotPlant(f"there is no module {module}")
    return _Loader(module, spec.origin, edits).get_code(module)


def plant(edits: Sequence[Edit]) -> None:
    """From now on the modules are loaded with the edits, in this process. Raises CannotPlant if
    one of them is loaded already."""
    modules = by_module(edits)
    late = [module for module in modules if module in sys.modules]
    if late:
        raise CannotPlant(f"{late[0]} was loaded before the mutant came")
    sys.meta_path.insert(0, _Finder(modules))


class _Finder(MetaPathFinder):
    def __init__(self, edits: dict[str, list[Edit]]) -> None:
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edits = self._edits.get(fullname)
        if edits is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise CannotPlant(f"there is no module {fullname}")
        spec.loader = _Loader(fullname, spec.origin, edits)
        return spec


class _Loader(SourceFileLoader):
    """Compiles changed source, and neither reads nor writes compiled files."""

    def __init__(self, fullname: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(fullname, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        assert source is not None
        path = self.get_filename(fullname)
        code: CodeType = compile(changed(source, self._edits), path, "exec", dont_inherit=True)
        return code
