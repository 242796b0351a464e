"""Docstrings, comments and the words of the spec name things by nouns.

A sentence about "those who" or "nobody" has to be read twice to find out which connections, users
or nodes are meant. The test finds such pronouns, in the parts of the text that are prose.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRONOUNS = re.compile(
    r"\b(those\s+who(se|m)?|whoever|nobody|somebody|anybody|everybody|so\s+many)\b", re.IGNORECASE
)
CODE = ("bench", "chat", "deploy", "sim", "spec")
DOCUMENTS = (
    "spec/messages.yaml",
    "spec/protocol_intro.md",
    "docs/performance.md",
    "docs/attacks.md",
)


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a module, each with the line it begins on.

    A string that stands alone as a statement is a docstring, that of a variable included. Comments
    on consecutive lines are one text, so that a pronoun may not hide in a line break.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text
    start, last, words = 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if line != last + 1:
            if words:
                yield start, words
            start, words = line, ""
        words += token.string.lstrip("# ") + "\n"
        last = line
    if words:
        yield start, words


def prose_of_document(text: str) -> str:
    """The text with blanks for what is sent over the wire: blocks of code, and sentences of errors,
    which the protocol fixes."""
    sent = re.compile(r"^```.*?^```|message: \"[^\"]*\"", re.DOTALL | re.MULTILINE)
    return sent.sub(lambda found: re.sub(r"\S", " ", found[0]), text)


def pronouns(texts: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    return [
        (line + text.count("\n", 0, found.start()), " ".join(found[0].lower().split()))
        for line, text in texts
        for found in PRONOUNS.finditer(text)
    ]


@pytest.mark.parametrize("package", CODE)
def test_docstrings_and_comments_have_no_riddle_pronouns(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, word in pronouns(prose_of(path.read_text("utf-8")))
    ]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_have_no_riddle_pronouns(name: str) -> None:
    text = prose_of_document((ROOT / name).read_text("utf-8"))
    wrong = [f"{name}:{line}: {word}" for line, word in pronouns(iter([(1, text)]))]
    assert not wrong, "\n".join(["", *wrong])


def test_planted_pronouns_are_found() -> None:
    source = '''"""For those
who wait."""

class A:
    """Everybody."""

    x = 1  # so
    # many of it
    y = 2
    """Whoever."""

nobody = "somebody"
'''
    assert sorted(pronouns(prose_of(source))) == [
        (1, "those who"),
        (5, "everybody"),
        (7, "so many"),
        (10, "whoever"),
    ]
