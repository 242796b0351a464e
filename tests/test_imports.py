"""Who may import whom, and the rules of the house that can be counted."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from spec.generator.python.text import GENERATED_LINE

TOP = Path(__file__).parent.parent
PACKAGES = ("bench", "chat", "deploy", "sim", "spec", "tests")
FILES = sorted(path for package in PACKAGES for path in (TOP / package).rglob("*.py"))
MODULES = {".".join(path.relative_to(TOP).with_suffix("").parts): path for path in FILES}

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 70

PURE = {
    "base64", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq",
    "itertools", "json", "math", "operator", "re", "string", "types", "typing", "unicodedata",
}  # fmt: skip
"""What of the standard library does nothing but compute."""

MAY_IMPORT = {
    "chat.core": {"chat.core"},
    "chat.net": {"chat.net", "chat.core"},
    "chat.storage": {"chat.storage", "chat.core"},
    "chat.client": {"chat.client", "chat.protocol"},
    "chat.cli": {"chat.core", "chat.net", "chat.storage", "chat.options", "chat.workers"},
    "chat.options": {"chat.core", "chat.net", "chat.storage"},
    "chat.workers": set(),
    "chat": set(),
    "deploy": {"deploy"},
    "sim": {
        "sim",
        "chat.core",
        "chat.storage",
        "chat.client.session.client_session",
        "chat.client.session.ports",
    },
    "bench": {"bench", "chat.core", "chat.storage", "deploy"},
    "spec": {"spec"},
}
"""By part: which parts of this project it may import. tests may import everything."""

ALSO = {
    "chat": {"chat"},
}
"""Single modules: the version is in `chat`."""


def is_generated(module: str) -> bool:
    return MODULES[module].read_text("utf-8").startswith(GENERATED_LINE)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports(module: str) -> Iterator[str]:
    """The modules that it imports, with whatever is taken from them if that is a module too."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if name in MODULES or f"{name}.__init__" in MODULES]
            yield from modules or [node.module]


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str:
    return max((part for part in MAY_IMPORT if belongs(module, part)), key=len)


OWN = [module for module in MODULES if not belongs(module, "tests")]


@pytest.mark.parametrize("module", OWN)
def test_a_part_imports_only_what_it_may(module: str) -> None:
    part = part_of(module)
    also = ALSO.get(part.partition(".")[0], set())
    wrong = [
        name
        for name in imports(module)
        if is_ours(name)
        and name not in also
        and not any(belongs(name, one) for one in MAY_IMPORT[part])
    ]
    assert not wrong, f"{module} may not import {wrong}"


@pytest.mark.parametrize("module", [module for module in OWN if belongs(module, "chat.core")])
def test_the_core_is_pure(module: str) -> None:
    outside = {name.partition(".")[0] for name in imports(module) if not is_ours(name)}
    wrong = outside - PURE - {"msgspec"}
    assert not wrong, f"{module} may not import {wrong}"


def test_the_core_takes_no_time_of_its_own() -> None:
    """Nothing that is built in gets round the rule: no files, no input, no import by name."""
    forbidden = {"open", "input", "print", "exec", "eval", "__import__", "id", "hash"}
    wrong = [
        f"{module}:{node.lineno} {node.func.id}"
        for module in OWN
        if belongs(module, "chat.core")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in forbidden
    ]
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_are_short(module: str) -> None:
    if is_generated(module):
        return
    lines = len(MODULES[module].read_text("utf-8").splitlines())
    assert lines < MAX_MODULE_LINES, f"{module} has {lines} lines"
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= MAX_FUNCTION_LINES
    ]
    assert not long, f"{module}: {long}"


@pytest.mark.parametrize("module", OWN)
def test_a_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(module)) or not tree(module).body


def test_the_rules_speak_of_modules_that_there_are() -> None:
    packages = {name.removesuffix(".__init__") for name in MODULES}
    named = set(MAY_IMPORT).union(*MAY_IMPORT.values(), *ALSO.values())
    assert named <= packages
    assert set(sys.stdlib_module_names) >= PURE
