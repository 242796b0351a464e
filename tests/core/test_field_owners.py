"""Each field of a session is written by the part that owns it, and by no other."""

import ast
import re
from pathlib import Path

CORE = Path(__file__).parents[2] / "chat" / "core"
SESSION = CORE / "state" / "session.py"
MUTATORS = {
    "add", "append", "clear", "discard", "extend", "feed", "pop", "popitem", "remove",
    "setdefault", "take", "update",
}  # fmt: skip
"""Methods that change what they are called on."""


def owners() -> dict[str, set[str]]:
    """By field: the modules that its group names, as the comments above the groups say."""
    found: dict[str, set[str]] = {}
    modules: set[str] = set()
    text = SESSION.read_text()
    start = text.index("def __init__")
    for line in text[start : text.index("@property")].splitlines():
        comment = re.match(r"\s+# (.+)", line)
        field = re.match(r"\s+self\.(\w+)\b", line)
        if comment:
            modules = set(re.findall(r"\w+/\w+", comment[1]))
        elif field:
            found[field[1]] = modules
        elif not line.strip():
            modules = set()
    return found


def written(tree: ast.AST) -> set[str]:
    """The fields of anything named `session` that a module assigns, deletes or changes in place."""

    def field(node: ast.AST) -> str | None:
        if isinstance(node, ast.Subscript):
            return field(node.value)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return node.attr if node.value.id == "session" else None
        return None

    targets: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                targets += target.elts if isinstance(target, ast.Tuple) else [target]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
        elif isinstance(node, ast.Delete):
            targets += node.targets
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
        ):
            targets.append(node.func.value)
    return {name for target in targets if (name := field(target)) is not None}


def test_each_field_has_an_owner() -> None:
    fixed = {"connection", "address"}
    assert {name for name, modules in owners().items() if not modules} == fixed
    for modules in owners().values():
        assert all((CORE / f"{module}.py").exists() for module in modules)


def test_only_the_owner_writes_a_field() -> None:
    owner = owners()
    wrong = []
    for path in sorted(CORE.rglob("*.py")):
        module = path.relative_to(CORE).with_suffix("").as_posix()
        for name in sorted(written(ast.parse(path.read_text()))):
            if module not in owner.get(name, ()):
                wrong.append(f"{module} writes session.{name}")
    assert not wrong


def test_what_counts_as_writing() -> None:
    text = """
session.one = 1
session.two += 1
session.three, other = 1, 2
session.four.add(1)
session.five[0] = 1
del session.six[0]
session.seven
session.eight.get(1)
other.nine = 1
"""
    assert written(ast.parse(text)) == {"one", "two", "three", "four", "five", "six"}
