"""Finds violations of the rules of design.md §4 in a source tree. tests/test_imports.py runs it.

Theory of operation
-------------------

A `Project` is read from a folder, so that the rules can be applied to this repository and to small
trees with planted violations alike. Modules are named by their dotted paths; a package is named
without `.__init__`. Imports are taken from the syntax tree wherever they stand, in functions and
under TYPE_CHECKING too: an import that runs upward is a wrong dependency, whenever it happens.

Within each package the *children* are its modules and sub-packages, each sub-package with all that
is in it. An import from one child to another is an edge between the two. The edges of every package
must form no cycle, and must agree with the package's declared order, if it has one.

Every function here returns violations as texts, each with the module, and none if all is well.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

PUBLIC_IN_SPITE = frozenset({"_replace", "_asdict", "_fields", "_make", "_field_defaults"})
"""Names of namedtuple's public interface; the underscore only keeps them apart from fields."""


class Import(NamedTuple):
    """`module` imports `target`: a module or package of the project, or a foreign one."""

    module: str
    line: int
    target: str
    name: str | None
    """What is taken from the target; None if the target itself is imported."""


class Project:
    """The modules of some top-level packages in a folder."""

    def __init__(self, root: Path, packages: Sequence[str]) -> None:
        self.root = root
        self.packages = packages
        self.paths: dict[str, Path] = {}
        """By module."""
        for package in packages:
            for path in sorted((root / package).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                self.paths[".".join(parts).removesuffix(".__init__")] = path

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {name: ast.parse(path.read_text("utf-8")) for name, path in self.paths.items()}

    @cached_property
    def all_packages(self) -> dict[str, list[str]]:
        """By package: the modules that lie directly in it, without `__init__`."""
        found: dict[str, list[str]] = {
            name: [] for name, path in self.paths.items() if path.name == "__init__.py"
        }
        for name in self.paths:
            if name not in found:
                found.setdefault(name.rpartition(".")[0], []).append(name)
        return found

    @cached_property
    def imports(self) -> list[Import]:
        return [one for module in self.paths for one in self._imports_of(module)]

    def _imports_of(self, module: str) -> Iterator[Import]:
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module, node.lineno, alias.name, None)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno} imports relatively"
                assert node.module is not None
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    if inner in self.paths:
                        yield Import(module, node.lineno, inner, None)
                    else:
                        yield Import(module, node.lineno, node.module, alias.name)

    def own_imports(self) -> list[Import]:
        """Imports of modules of the project."""
        return [one for one in self.imports if one.target.partition(".")[0] in self.packages]


def belongs(name: str, part: str) -> bool:
    """Whether a module is `part` or lies in it."""
    return name == part or name.startswith(part + ".")


def child(package: str, module: str) -> str:
    """The child of the package that holds the module; `__init__` for the package's own module."""
    rest = module.removeprefix(package).lstrip(".")
    return rest.partition(".")[0] or "__init__"


# ---------------------------------------------------------------------------- direction


def cycles(project: Project, package: str) -> list[str]:
    """Cycles among the children of a package. The name "" stands for the whole project."""
    graph: dict[str, set[str]] = {}
    example: dict[tuple[str, str], Import] = {}
    for one in project.own_imports():
        if package and not (belongs(one.module, package) and belongs(one.target, package)):
            continue
        source, target = child(package, one.module), child(package, one.target)
        if source != target:
            graph.setdefault(source, set()).add(target)
            example.setdefault((source, target), one)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        members: list[str] = error.args[1]
        # graphlib lists a cycle against the direction of the edges.
        steps = list(zip(reversed(members), reversed(members[:-1]), strict=False))
        shown = [f"{a} -> {b} ({_place(example[a, b])})" for a, b in steps if (a, b) in example]
        return [f"cycle in {package or 'the project'}: {', '.join(shown)}"]
    return []


def upward(project: Project, package: str, order: Sequence[Sequence[str]]) -> list[str]:
    """Imports against the declared order of a package's children, lowest first.

    Children of one level do not import each other. A child that the order does not name is not
    checked here, but it must not be in a cycle either.
    """
    level = {name: number for number, names in enumerate(order) for name in names}
    wrong = []
    for one in project.own_imports():
        if not (belongs(one.module, package) and belongs(one.target, package)):
            continue
        source, target = child(package, one.module), child(package, one.target)
        if source == target or source not in level or target not in level:
            continue
        if level[target] >= level[source]:
            wrong.append(f"{package}: {source} may not import {target} ({_place(one)})")
    return wrong


def forbidden(project: Project, may_import: Mapping[str, frozenset[str]]) -> list[str]:
    """Imports from one part of the project to another that are not allowed.

    `may_import` has, by part, the parts it may import besides itself. A module is of the longest
    part that it belongs to; modules of no part are not checked.
    """
    wrong = []
    for one in project.own_imports():
        part = part_of(one.module, may_import)
        if part is None or belongs(one.target, part):
            continue
        if not any(belongs(one.target, allowed) for allowed in may_import[part]):
            wrong.append(f"{part} may not import {one.target} ({_place(one)})")
    return wrong


def part_of(module: str, parts: Mapping[str, object]) -> str | None:
    return max((part for part in parts if belongs(module, part)), key=len, default=None)


def impure(project: Project, package: str, allowed: frozenset[str]) -> list[str]:
    """Imports of a package from outside the project, other than the allowed top-level modules."""
    return [
        f"{package} may not import {one.target} ({_place(one)})"
        for one in project.imports
        if belongs(one.module, package)
        and one.target.partition(".")[0] not in (*project.packages, *allowed)
    ]


def _place(one: Import) -> str:
    return f"{one.module}:{one.line} imports {one.target}"


# ---------------------------------------------------------------------------- underscore names


def private_uses(project: Project, package: str) -> list[str]:
    """Uses of underscore names that belong to another module.

    - an import of such a name, or of a module with such a name from another package;
    - an attribute `other._name`, unless `other` is `self`, `cls` or `super()`, or the name is
      defined in the same module: classes of one module may know each other.
    - `getattr` and its kin with such a name as a literal.
    """
    wrong = []
    for one in project.imports:
        if not belongs(one.module, package):
            continue
        names = [*one.target.split("."), *([one.name] if one.name else [])]
        private = [name for name in names if is_private(name)]
        is_own = belongs(one.target.rpartition(".")[0], one.module.rpartition(".")[0])
        if private and not (one.name is None and is_own):
            wrong.append(f"{one.module}:{one.line} imports {one.target}: {', '.join(private)}")
    for module, tree in project.trees.items():
        if belongs(module, package):
            wrong += [f"{module}:{line} uses {name}" for line, name in _private_attributes(tree)]
    return wrong


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC_IN_SPITE


def _private_attributes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    defined = set(_defined_names(tree))
    for node in ast.walk(tree):
        name: object = None
        if isinstance(node, ast.Attribute) and not _is_own_object(node.value):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            argument = node.args[1]
            if node.func.id in ("getattr", "setattr", "hasattr", "delattr"):
                name = argument.value if isinstance(argument, ast.Constant) else None
        if isinstance(name, str) and is_private(name) and name not in defined:
            assert isinstance(node, ast.expr)
            yield node.lineno, name


def _is_own_object(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
        return isinstance(node, ast.Name) and node.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _defined_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines: functions, classes, variables, and attributes of its objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and _is_own_object(node.value)
        ):
            yield node.attr


# ---------------------------------------------------------------------------- packages


def large_packages(project: Project, most: int) -> list[str]:
    return [
        f"{package} has {len(modules)} modules, more than {most}: {', '.join(modules)}"
        for package, modules in project.all_packages.items()
        if len(modules) > most
    ]


LIMITS_WORDS = ("not", "no", "never", "nothing", "none", "only", "alone", "without", "neither")


def packages_without_rules(project: Project) -> list[str]:
    """Packages whose docstring does not say what they are for and what may not be done in them.

    The second half is recognised by a word of limitation; what it says is for the reader to judge.
    """
    wrong = []
    for package in project.all_packages:
        if package not in project.paths:
            wrong.append(f"{package} has no __init__.py")
            continue
        doc = ast.get_docstring(project.trees[package])
        words = "".join(c if c.isalpha() else " " for c in (doc or "").lower()).split()
        if doc is None:
            wrong.append(f"{package}/__init__.py has no docstring")
        elif not any(word in LIMITS_WORDS for word in words):
            wrong.append(f"the docstring of {package} does not say what may not be done in it")
    return wrong
