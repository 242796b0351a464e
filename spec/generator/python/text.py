"""What the Python outputs have in common: headers, docstrings, string literals, formatting."""

import subprocess
import sys
import textwrap

from spec.generator.model import SpecError

WIDTH = 100


GENERATED_LINE = (
    "# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.\n"
)
"""The first line of each Python module that is generated."""


def header(doc: str) -> str:
    return f"{GENERATED_LINE}{docstring(doc)}\n"


def docstring(doc: str, indent: str = "") -> str:
    """The text as a docstring, wrapped."""
    safe = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if safe.endswith('"'):
        safe = f'{safe[:-1]}\\"'
    lines = textwrap.wrap(
        f'"""{safe}"""',
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def literal(text: str) -> str:
    """The text as a Python literal in double quotes, raw if that is easier to read."""
    if "\\" in text and '"' not in text and text.isprintable() and not text.endswith("\\"):
        return f'r"{text}"'
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return repr(text)


def long_literal(text: str) -> str:
    """The text as a Python literal of several lines, in parentheses, if one would be too long."""
    pieces = textwrap.wrap(text, WIDTH - 20, drop_whitespace=False)
    if len(pieces) < 2:
        return literal(text)
    return f"({' '.join(literal(piece) for piece in pieces)})"


def format_python(source: str) -> str:
    """The source as ruff lays it out. Raises SpecError if ruff cannot be run on it."""
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--quiet"]
    command += ["--line-length", str(WIDTH), "--target-version", "py311", "-"]
    run = subprocess.run(command, input=source, capture_output=True, text=True, encoding="utf-8")
    if run.returncode != 0:
        reason = " ".join(run.stderr.split()) or f"it exited with {run.returncode}"
        raise SpecError([f"ruff cannot format the generated code ({reason}); install ruff."])
    return run.stdout
