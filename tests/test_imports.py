"""The rules of design.md §4: which part imports which, what stays private, how large a part is."""

import ast
import sys
from pathlib import Path

import pytest

from spec.generate import OK
from spec.generate import main as generate
from spec.generator.python.text import GENERATED_LINE
from tests.architecture import (
    Project,
    belongs,
    cycles,
    forbidden,
    impure,
    large_packages,
    packages_without_rules,
    part_of,
    private_uses,
    upward,
)

ROOT = Path(__file__).parent.parent
OWN = Project(ROOT, ("bench", "chat", "deploy", "sim", "spec"))
ALL = Project(ROOT, (*OWN.packages, "tests"))

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 70
MAX_MODULES = 10

PURE = frozenset({
    "base64", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "ipaddress", "itertools", "json", "math", "operator", "re", "string", "types",
    "typing", "unicodedata",
})  # fmt: skip
"""Modules of the standard library that only compute."""

ORDER: dict[str, list[list[str]]] = {
    "chat": [
        ["__init__", "protocol"],
        ["core", "client"],
        ["bus", "net", "storage"],
        ["options", "workers"],
        ["cli"],
    ],
    "chat.core": [
        ["ports"],
        ["state"],
        ["delivery"],
        ["roster"],
        ["upkeep"],
        ["requests"],
        ["node"],
    ],
    "chat.client": [["session"], ["terminal"], ["driver", "scripts"], ["main"]],
    "chat.storage": [["errors"], ["backends"], ["transactions"], ["append"], ["service"]],
    "sim": [
        ["cluster"],
        ["workload", "faults", "checkers"],
        ["report"],
        ["run"],
        ["cli"],
        ["__main__"],
    ],
    "bench": [["results"], ["load"], ["targets"], ["workloads"], ["__main__"]],
    "spec": [["generator"], ["generate"]],
    "spec.generator": [["model"], ["reading", "python", "documents"], ["outputs"]],
}
"""By package: its children in order, lowest first. No import runs from a lower one to a higher one,
nor between two of the same line."""

PORTS = "chat.core.ports"
MAY_IMPORT = {
    "chat": frozenset[str](),
    "chat.protocol": frozenset[str](),
    "chat.core": frozenset({"chat.protocol"}),
    "chat.bus": frozenset({"chat.protocol", PORTS}),
    "chat.storage": frozenset({"chat.protocol", PORTS}),
    # The driver runs a node, with its configuration, and the pure part that coalesces its writes.
    "chat.net": frozenset(
        {
            "chat.protocol",
            PORTS,
            "chat.core.node",
            "chat.core.state.config",
            "chat.core.delivery.write_coalescing",
        }
    ),
    "chat.client": frozenset({"chat.protocol"}),
    # The composition root, in three modules: it makes the parts, and gives each what it needs.
    "chat.options": frozenset({"chat.core.state.config", "chat.bus", "chat.net", "chat.storage"}),
    "chat.workers": frozenset[str](),
    "chat.cli": frozenset(
        {
            *("chat.core.node", "chat.core.state.config", "chat.bus", "chat.net", "chat.storage"),
            *("chat.options", "chat.workers"),
        }
    ),
    # Real nodes, real transactions and real sessions of clients; nothing that does IO but SQLite.
    "sim": frozenset({"chat.protocol", "chat.core", "chat.storage", "chat.client.session"}),
    # Nodes are processes there; stores are filled before a node opens them. In a storm the real
    # client decides when to dial.
    "bench": frozenset(
        {
            "chat.storage.backends",
            "chat.storage.schema",
            "chat.protocol",
            "chat.client.session",
            "deploy.servers",
            "deploy.cluster",
        }
    ),
    "deploy": frozenset[str](),
    "spec": frozenset[str](),
}
"""By part: what else of the project it may import. The version, in `chat` itself, is for all."""


def named(violations: list[str]) -> str:
    return "\n".join(["", *violations])


# ---------------------------------------------------------------------------- this repository


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    wrong = [one for one in forbidden(OWN, MAY_IMPORT) if one.startswith(f"{part} may not")]
    wrong = [one for one in wrong if not one.startswith(f"{part} may not import chat (")]
    assert not wrong, named(wrong)


@pytest.mark.parametrize("package", ["", *OWN.all_packages])
def test_no_two_parts_of_a_package_import_each_other(package: str) -> None:
    found = cycles(OWN, package)
    assert not found, named(found)


@pytest.mark.parametrize("package", ORDER)
def test_no_import_runs_upward(package: str) -> None:
    wrong = upward(OWN, package, ORDER[package])
    assert not wrong, named(wrong)


@pytest.mark.parametrize("package", OWN.packages)
def test_no_module_uses_underscore_names_of_another(package: str) -> None:
    wrong = private_uses(OWN, package)
    assert not wrong, named(wrong)


def test_the_core_is_pure() -> None:
    wrong = impure(OWN, "chat.core", PURE | {"msgspec"})
    assert not wrong, named(wrong)


def test_the_protocol_is_pure() -> None:
    wrong = impure(OWN, "chat.protocol", PURE | {"msgspec"})
    assert not wrong, named(wrong)


def test_the_core_takes_no_time_of_its_own() -> None:
    """No built-in function gets round the rule: no files, no input, no import by name."""
    builtins = {"open", "input", "print", "exec", "eval", "__import__", "id", "hash"}
    wrong = [
        f"{module}:{node.lineno} {node.func.id}"
        for module, tree in OWN.trees.items()
        if belongs(module, "chat.core")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in builtins
    ]
    assert not wrong


def test_packages_are_small() -> None:
    wrong = large_packages(OWN, MAX_MODULES)
    assert not wrong, named(wrong)


def test_every_package_says_what_it_is_for_and_what_may_not_be_done_in_it() -> None:
    wrong = packages_without_rules(OWN)
    assert not wrong, named(wrong)


@pytest.mark.parametrize("module", OWN.paths)
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(OWN.trees[module])


@pytest.mark.parametrize("module", ALL.paths)
def test_modules_and_functions_are_short(module: str) -> None:
    text = ALL.paths[module].read_text("utf-8")
    if text.startswith(GENERATED_LINE):
        return
    lines = len(text.splitlines())
    assert lines < MAX_MODULE_LINES, f"{module} has {lines} lines"
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ALL.trees[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= MAX_FUNCTION_LINES
    ]
    assert not long, f"{module}: {long}"


def test_generated_files_are_what_the_generator_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(["--check"]) == OK, capsys.readouterr().out


def test_every_module_is_of_a_part() -> None:
    assert [module for module in OWN.paths if part_of(module, MAY_IMPORT) is None] == []


def test_the_rules_name_only_modules_that_exist() -> None:
    names = set(MAY_IMPORT).union(*MAY_IMPORT.values(), ORDER)
    for package, order in ORDER.items():
        names |= {f"{package}.{name}" for names in order for name in names if name != "__init__"}
    assert names - set(OWN.paths) == set()
    assert set(sys.stdlib_module_names) >= PURE


# ---------------------------------------------------------------------------- planted violations


def project(root: Path, files: dict[str, str]) -> Project:
    """A tree of these files, with an empty __init__.py in each folder that has none."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in list(root.rglob("*.py")):
        for folder in path.parents:
            if folder == root:
                break
            (folder / "__init__.py").touch()
    return Project(root, sorted({name.partition("/")[0] for name in files}))


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("from a.high import x", True),
        ("import a.high", True),
        ("from a import high", True),
        ("def f():\n    from a.high import x", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a.high import x", True),
        ("from a.lowest import x", False),
        ("from a.low.other import x", False),
    ],
)
def test_a_planted_import_that_runs_upward_is_found(
    tmp_path: Path, text: str, is_wrong: bool
) -> None:
    files = {"a/low/one.py": text, "a/low/other.py": "x = 1", "a/lowest.py": "x = 1"}
    tree = project(tmp_path, files | {"a/high.py": "x = 1"})
    order = [["lowest"], ["low"], ["high"]]
    assert bool(upward(tree, "a", order)) is is_wrong
    assert bool(forbidden(tree, {"a.low": frozenset({"a.lowest"})})) is is_wrong


def test_children_of_one_level_may_not_import_each_other(tmp_path: Path) -> None:
    tree = project(tmp_path, {"a/one.py": "from a.two import x", "a/two.py": "x = 1"})
    assert upward(tree, "a", [["one", "two"]])


@pytest.mark.parametrize(
    "files",
    [
        {"a/one.py": "import a.two", "a/two.py": "import a.one"},
        {"a/b/one.py": "import a.c.two", "a/c/two.py": "x = 1", "a/c/other.py": "import a.b.one"},
        {"a/b/one.py": "import a.two", "a/two.py": "import a.three", "a/three.py": "import a.b"},
        {"a/__init__.py": "import a.one", "a/one.py": "from a import x"},
    ],
)
def test_a_planted_cycle_is_found_and_named(tmp_path: Path, files: dict[str, str]) -> None:
    tree = project(tmp_path, files)
    (text,) = cycles(tree, "a")
    assert text.count(" -> ") >= 2
    assert "imports a" in text


def test_a_planted_cycle_of_top_level_packages_is_found(tmp_path: Path) -> None:
    tree = project(
        tmp_path, {"a/one.py": "import b.two", "b/two.py": "x = 1", "b/x.py": "import a"}
    )
    assert cycles(tree, "")
    assert not cycles(tree, "a")


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("from a.two import _x", True),
        ("from b._hidden import x", True),
        ("import b._hidden", True),
        ("from foreign import _x", True),
        ("from a import _own", False),
        ("def f(other): return other._x", True),
        ("def f(other): other._x = 1", True),
        ("def f(other): return other.part._x", True),
        ("def f(other): return getattr(other, '_x')", True),
        ("import a.two\na.two._x()", True),
        ("class A:\n    def f(self): return self._x", False),
        ("class A:\n    def f(self): return super()._x", False),
        ("class A:\n    def __init__(self): self._x = 1\ndef f(a): return a._x", False),
        ("class A:\n    _x: int\ndef f(a): return a._x", False),
        ("def f(row): return row._replace(x=1)", False),
        ("def f(row): return row.__class__", False),
    ],
)
def test_planted_uses_of_underscore_names_are_found(
    tmp_path: Path, text: str, is_wrong: bool
) -> None:
    files = {"a/one.py": text, "a/two.py": "_x = 1", "a/_own.py": "", "b/_hidden.py": "x = 1"}
    assert bool(private_uses(project(tmp_path, files), "a")) is is_wrong


def test_a_planted_package_that_is_too_large_is_found(tmp_path: Path) -> None:
    tree = project(tmp_path, {f"a/b/m{n}.py": "" for n in range(4)})
    assert large_packages(tree, 3)
    assert not large_packages(tree, 4)


@pytest.mark.parametrize("doc", ["", '"""Holds things."""'])
def test_a_planted_package_without_rules_is_found(tmp_path: Path, doc: str) -> None:
    assert packages_without_rules(project(tmp_path, {"a/__init__.py": doc}))


def test_a_planted_import_of_the_clock_is_found(tmp_path: Path) -> None:
    tree = project(tmp_path, {"a/one.py": "import time", "a/two.py": "import json\nimport a.one"})
    assert impure(tree, "a", PURE) == ["a may not import time (a.one:1 imports time)"]
