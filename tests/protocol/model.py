"""The messages of the protocol as data, read from the types that are generated from the spec: which
fields each message has, and values for a field that are valid, at a bound, or wrong.

Values are what JSON has: numbers, strings, lists, dicts. A message or a field that is new in the
spec is new here.
"""

import enum
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

from chat.protocol.messages import Request, ServerMessage

Path = tuple[str | int, ...]
"""A place in a message: names of fields, and 0 for the first item of a list."""

_FILLERS: Final = ("a", "0", "Z", "é", "日", "🙂", " ", "\n", "~")
MAX_NUMBER: Final = 2**53


def _members(union: object) -> tuple[inspect.StructType, ...]:
    found = inspect.type_info(union)
    assert isinstance(found, inspect.UnionType)
    return tuple(member for member in found.types if isinstance(member, inspect.StructType))


REQUESTS: Final = _members(Request)
SERVER_MESSAGES: Final = _members(ServerMessage)


def example(type: inspect.Type) -> Any:
    """A valid value; of an optional field, one that is there."""
    return bounds(type)[0]


def message(struct: inspect.StructType, *, optional: bool = True) -> dict[str, Any]:
    """A valid message or part of one, with or without the fields that may be left out."""
    tag = {} if struct.tag_field is None else {struct.tag_field: struct.tag}
    return tag | {
        field.encode_name: example(field.type)
        for field in struct.fields
        if optional or field.required
    }


def bounds(type: inspect.Type) -> list[Any]:
    """Valid values, the extreme ones among them; the first is a usual one."""
    match type:
        case inspect.IntType(ge=low, le=high):
            least, most = -MAX_NUMBER if low is None else low, MAX_NUMBER if high is None else high
            return [max(least, min(7, most)), least, most]
        case inspect.StrType():
            return _strings(type)
        case inspect.BoolType():
            return [True, False]
        case inspect.EnumType(cls=cls):
            return [_plain(member) for member in cls]
        case inspect.StructType():
            return [message(type), message(type, optional=False)]
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [[example(item)], [], [example(item)] * 50]
        case inspect.DictType(key_type=key, value_type=value):
            return [{str(example(key)): example(value)}, {}, _large(key, value)]
        case inspect.UnionType(types=types):
            return [value for member in types for value in bounds(member)]
        case inspect.NoneType():
            return [None]
        case _:
            return []  # what marks a field as left out


def wrong(type: inspect.Type) -> list[Any]:
    """Values beyond a bound, or of another type."""
    others: list[Any] = [
        None,
        True,
        -1,
        0,
        1.5,
        MAX_NUMBER + 1,
        2**70,
        "",
        "x",
        [],
        {},
        [[]],
        "\x00",
    ]
    match type:
        case inspect.IntType(ge=low, le=high):
            others += [(low or 0) - 1, (high or 0) + 1]
        case inspect.StrType(min_length=least, max_length=most):
            others += [
                "a" * ((most or 0) + 1),
                "a" * max((least or 1) - 1, 0),
                "a\x07b",
                "a\u202eb",
            ]
            others += ["\x1b[31m", "a" * 5_000, "\ud800"]
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            others += [[value] for value in wrong(item)[:6]]
        case inspect.DictType():
            others += [{"a": 1}, {"1": "a"}, {"-1": 1}, {"": 1}]
        case inspect.StructType(fields=fields):
            others += [message(type) | {field.encode_name: None} for field in fields]
    return others


def string_places(struct: inspect.StructType) -> Iterator[Path]:
    """Where a message has strings that are not from a list of words."""
    for field in struct.fields:
        for path in _places(field.type):
            yield field.encode_name, *path


def with_value(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at that place."""
    if not path:
        return new
    first, *rest = path
    copy = value.copy()
    copy[first] = with_value(value[first], tuple(rest), new)
    return copy


def patterns() -> Iterator[tuple[str, str]]:
    """All patterns of fields, with the message that each is in."""
    for struct in (*REQUESTS, *SERVER_MESSAGES):
        for type in _types(struct):
            if isinstance(type, inspect.StrType) and type.pattern is not None:
                yield struct.cls.__name__, type.pattern


def _places(type: inspect.Type) -> Iterator[Path]:
    match type:
        case inspect.StrType():
            yield ()
        case inspect.StructType():
            yield from string_places(type)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            for path in _places(item):
                yield 0, *path
        case inspect.UnionType(types=types):
            # Where several members of a union have strings, they have them in the same places.
            yield from dict.fromkeys(path for member in types for path in _places(member))


def _types(type: inspect.Type) -> Iterator[inspect.Type]:
    yield type
    match type:
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from _types(field.type)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            yield from _types(item)
        case inspect.DictType(key_type=key, value_type=value):
            yield from _types(key)
            yield from _types(value)
        case inspect.UnionType(types=types):
            for member in types:
                yield from _types(member)


def _strings(type: inspect.StrType) -> list[Any]:
    least, most = type.min_length or 0, type.max_length or 200
    usual = max(least, min(8, most))
    found = [filler * length for length in (usual, least, most) for filler in _FILLERS]
    return [text for text in found if type.pattern is None or re.search(type.pattern, text)]


def _large(key: inspect.Type, value: inspect.Type) -> dict[str, Any]:
    assert isinstance(key, inspect.IntType)
    return {str(number): example(value) for number in range(1, 200)}


def _plain(member: enum.Enum) -> Any:
    return msgspec.to_builtins(member)
