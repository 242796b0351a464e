"""The work on what a peer sends is linear in it, and bounded for a line."""

import gc
import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import inspect

import chat
from chat.protocol.codec import decode_request
from chat.protocol.rules import PATTERNS
from tests.linear import families, parsers
from tests.linear.families import TEXT_TOKENS, Family, TextFamily
from tests.linear.measure import TooMuchWork, check_steps, check_time
from tests.linear.parsers import LINE_BYTES, Parser, server_message
from tests.protocol import model

BOUND_S = LINE_BYTES * 800e-9
"""The upper bound of work on a line of 64 KiB, on any machine: 0.05 s."""
STEPS_PER_BYTE = 800
"""A byte that comes alone costs about 30 lines of Python in a splitter and 200 in a session, and
the copy of half a kibibyte at most."""


def check_all(tested: Sequence[Parser], all: Sequence[Family] | Sequence[TextFamily]) -> None:
    """Every parser, every family; tells all that are not linear."""
    wrong = []
    for parser in tested:
        for family in all:
            try:
                bound_s = parser.length * parser.s_per_byte
                check_time(parser.run, family.make, parser.length, bound_s)
            except TooMuchWork as error:
                wrong.append(f"{parser.name}, {family}: {error}")
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("parser", parsers.LINES, ids=lambda parser: parser.name)
def test_lines(parser: Parser) -> None:
    check_all([parser], families.JSON)


@pytest.mark.parametrize("parser", parsers.STREAMS, ids=lambda parser: parser.name)
def test_streams(parser: Parser) -> None:
    check_all([parser], families.STREAM)


def test_the_proxy_header() -> None:
    check_all(parsers.SOCKETS, families.PROXY)


def test_redis() -> None:
    check_all(parsers.REDIS, families.REDIS)


@pytest.mark.parametrize("parser", parsers.TEXTS, ids=lambda parser: parser.name)
def test_texts_on_a_terminal(parser: Parser) -> None:
    check_all([parser], families.TEXT)


def test_lines_of_the_user() -> None:
    check_all(parsers.LINES_OF_THE_USER, families.COMMANDS)


def test_keys_that_collide() -> None:
    check_time(decode_request, families.colliding_cursors, LINE_BYTES, BOUND_S)


# ------------------------------------------------------------------------ counted steps

SESSIONS = [parser for parser in parsers.STREAMS if parser.s_per_byte == parsers.A_LINE_S]
"""They take many lines of Python for a byte."""


@pytest.mark.parametrize(
    "parser",
    [*parsers.STREAMS, *parsers.SOCKETS, *parsers.REDIS, *parsers.LINES],
    ids=lambda parser: parser.name,
)
def test_steps(parser: Parser) -> None:
    """Bytes that are copied over and over cost little at first, and show in a count."""
    wrong = []
    length = 1_024 if parser in SESSIONS else 4_096
    for token in (b"x", b"\r", b"a\n", b"\n"):
        for start in (b"", b"+", b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xf0"):
            family = Family(start, token, b"")
            try:
                check_steps(parser.run, family.make, length, STEPS_PER_BYTE)
            except TooMuchWork as error:
                wrong.append(f"{family}: {error}")
    assert not wrong, "\n".join(["", *wrong])


# ------------------------------------------------------------------------ every field, pattern

FIELDS = [
    (decode, struct, path)
    for decode, structs in (
        (decode_request, model.REQUESTS),
        (server_message, model.SERVER_MESSAGES),
    )
    for struct in structs
    for path in model.string_places(struct)
]


def field_id(value: object) -> str:
    if isinstance(value, inspect.StructType):
        return str(value.tag)
    return ".".join(map(str, value)) if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("decode", "struct", "path"), FIELDS, ids=field_id)
def test_fields(
    decode: Callable[[bytes], object], struct: inspect.StructType, path: model.Path
) -> None:
    """Each field of each message, with a string that is as long as a line."""
    empty = json.dumps(model.with_value(model.message(struct), path, "@@@")).encode()
    before, after = empty.split(b'"@@@"')
    wrong = []
    for token in TEXT_TOKENS:
        text = json.dumps(token)[1:-1].encode()
        for family in (Family(before + b'"', text, b'"' + after), Family(before + b'"', text, b"")):
            try:
                check_time(decode, family.make, LINE_BYTES, BOUND_S)
            except TooMuchWork as error:
                wrong.append(f"{family}: {error}")
    assert not wrong, "\n".join(["", *wrong])


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(chat.__path__, "chat."):
        yield importlib.import_module(found.name)


def all_patterns() -> dict[str, re.Pattern[Any]]:
    """Every regular expression that the code or the spec has, with a name of its place."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{module.__name__}.{name}"] = value
    for request, fields in PATTERNS.items():
        found |= {f"{request.__name__}.{field}": pattern for field, pattern in fields}
    for message, pattern in model.patterns():
        found[f"{message} {pattern}"] = re.compile(pattern)
    return found


def test_patterns() -> None:
    """Each pattern, on texts longer than any that it gets."""
    wrong = []
    for name, pattern in all_patterns().items():
        for family in families.TEXT:
            try:
                check_pattern(pattern, family)
            except TooMuchWork as error:
                wrong.append(f"{name}, {family}: {error}")
    assert not wrong, "\n".join(["", *wrong])


def check_pattern(pattern: re.Pattern[Any], family: TextFamily) -> None:
    """Looks for all places where it matches."""

    def make(length: int) -> str | bytes:
        text = family.make(length)
        return text.encode() if isinstance(pattern.pattern, bytes) else text

    def run(text: str | bytes) -> None:
        pattern.sub(text[:0], text)

    check_time(run, make, parsers.TEXT_LENGTH, BOUND_S)


def test_the_patterns_of_the_spec_are_found() -> None:
    names = " ".join(all_patterns())
    for name in ("codec._STRING", "frames._LINE_ENDS", "ChatRequest.text", "RegisterRequest ^"):
        assert name in names


# ------------------------------------------------------------------------ completeness

PARSES = re.compile(r"^(decode|parse|clean)(_\w+)?$")
OWN_TEXT = {"chat.options.parse", "chat.net.proxy_protocol.parse"}


def test_every_parser_is_here() -> None:
    """A function of the code that is named as a parser is among those that are measured."""
    source = "\n".join(
        line
        for line in Path(parsers.__file__).read_text("utf-8").splitlines()
        if not line.startswith("from ")
    )
    missing = sorted(
        f"{module.__name__}.{name}"
        for module in modules()
        for name, value in vars(module).items()
        if callable(value)
        and PARSES.match(name)
        and getattr(value, "__module__", None) == module.__name__
        and not re.search(rf"\b{name}\b", source)
    )
    assert not missing, f"measure these in {parsers.__name__}: {missing}"


@pytest.fixture(autouse=True, scope="module")
def quiet_garbage() -> Iterator[None]:
    """What the tests before have left takes no part in the measurement."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
