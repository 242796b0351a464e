"""The generated code is what the spec says: types take what the documents say they take, tables
have the spec's cells, and every example is a message."""

import json
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.protocol import errors, messages, rules
from spec.generator.documents.asyncapi import generate_asyncapi
from spec.generator.model import Direction, Message, camel
from tests.spec.drafts import load, spoiled

SPEC = load(spoiled())
REQUEST = msgspec.json.Decoder(messages.Request)
SERVER_MESSAGE = msgspec.json.Decoder(messages.ServerMessage)


def decode(message: Message, value: object) -> msgspec.Struct:
    decoder: Any = REQUEST if message.direction is Direction.REQUEST else SERVER_MESSAGE
    decoded: msgspec.Struct = decoder.decode(msgspec.json.encode(value))
    patterns: Any = rules.PATTERNS
    for field, pattern in patterns.get(type(decoded), ()):
        if not pattern.search(getattr(decoded, field)):
            raise msgspec.ValidationError(f"`{field}` does not match its pattern")
    return decoded


# ------------------------------------------------------------------------------ messages


@pytest.mark.parametrize("message", SPEC.messages, ids=lambda message: str(message.place))
def test_an_example_is_its_message(message: Message) -> None:
    decoded = decode(message, message.example)
    assert type(decoded).__name__ == message.class_name
    again = msgspec.json.decode(msgspec.json.encode(decoded))
    assert decode(message, again) == decoded
    for name, value in again.items():
        assert message.example[name] == value


@pytest.mark.parametrize("message", SPEC.messages, ids=lambda message: str(message.place))
def test_a_message_without_a_required_field_is_refused(message: Message) -> None:
    for field in message.all_fields:
        rest = {name: value for name, value in message.example.items() if name != field.name}
        if field.required:
            with pytest.raises(msgspec.ValidationError, match=f"`{field.name}`"):
                decode(message, rest)
        else:
            given_none = getattr(decode(message, rest), field.attribute)
            assert given_none == field.default


@pytest.mark.parametrize("message", SPEC.messages, ids=lambda message: str(message.place))
def test_unknown_fields_are_ignored(message: Message) -> None:
    more = message.example | {"from_a_later_version": [1, {"two": 3}]}
    assert decode(message, more) == decode(message, message.example)


@cache
def documented() -> dict[str, jsonschema.Draft7Validator]:
    """The message schemas of asyncapi.yaml. In Python `$` also matches before a last newline."""
    document = yaml.safe_load(generate_asyncapi(SPEC))

    def exact(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: value.replace("$", "\\Z") if key == "pattern" else exact(value)
                for key, value in node.items()
            }
        return [exact(item) for item in node] if isinstance(node, list) else node

    root = exact(document)
    return {
        message.class_name: jsonschema.Draft7Validator(
            {**root, "$ref": f"#/components/schemas/{message.class_name}"}
        )
        for message in SPEC.messages
    }


def _accepts(message: Message, value: object) -> bool:
    try:
        decode(message, value)
    except msgspec.ValidationError:
        return False
    return True


LENGTHS = sorted({n for t in SPEC.types if t.base == "str" for n in (t.minimum, t.maximum) if n})
NUMBERS = sorted({n for t in SPEC.types if t.base == "int" for n in (t.minimum, t.maximum) if n})
WORDS = ["", "7", "007", "a\n", "a\tb", "\x00", "\x7f", "\x9f", "ann", "Ä", "f" * 64, "F" * 64]
WORDS += [value for enum in SPEC.enums for value in enum.values]

strings = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.builds(
        lambda unit, count, off: unit * max(0, count + off),
        st.sampled_from(["a", "é", "🙂", "\n"]),
        st.sampled_from(LENGTHS),
        st.integers(-1, 1),
    ),
)
integers = st.one_of(
    st.integers(-2, 2),
    st.builds(int.__add__, st.sampled_from(NUMBERS), st.integers(-1, 1)),
    st.integers(-(2**63), 2**64),
)
values = st.one_of(
    strings,
    integers,
    st.booleans(),
    st.lists(st.one_of(strings, integers), max_size=2),
    st.dictionaries(st.sampled_from(["7", "0", "-1", "x", "id"]), integers, max_size=2),
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_code_and_documents_take_the_same_values(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(SPEC.messages))
    names = [field.name for field in message.all_fields]
    value = dict(message.example)
    if names:
        value[data.draw(st.sampled_from(names))] = data.draw(values)
    said = documented()[message.class_name].is_valid(value)
    assert _accepts(message, value) == said


@pytest.mark.parametrize("named", [t for t in SPEC.types if t.base], ids=lambda named: named.name)
def test_a_type_ends_where_the_spec_says(named: Any) -> None:
    decoder: Any = msgspec.json.Decoder(getattr(messages, named.name))

    def takes(value: object) -> bool:
        try:
            decoder.decode(msgspec.json.encode(value))
        except msgspec.ValidationError:
            return False
        return True

    if named.base == "int":
        assert takes(named.minimum)
        assert takes(named.maximum)
        assert not takes(named.minimum - 1)
        assert not takes(named.maximum + 1)
    else:
        assert takes("a" * named.maximum)
        assert not takes("a" * (named.maximum + 1))
        assert takes("a" * named.minimum)
        assert not named.minimum or not takes("a" * (named.minimum - 1))


# -------------------------------------------------------------------------------- tables


def test_the_rules_are_the_cells_of_the_spec() -> None:
    cells: dict[str, list[str]] = spoiled()["cells"]
    assert [row.lower() for row in rules.Input.__members__] == [
        *spoiled()["requests"],
        *SPEC.inputs,
    ]
    assert [*rules.State.__members__] == [*spoiled()["states"]]
    for name, row in cells.items():
        for state, text in zip(rules.State, row, strict=True):
            rule = rules.RULES[state][rules.Input[name.upper()]]
            verdict, _, rest = text.replace("-> ", "").partition(" ")
            assert rule.verdict is rules.Verdict[verdict.upper()]
            closes = verdict == "close" or (rule.code and errors.ERRORS[rule.code].closes)
            target = rest if verdict == "accept" and rest else "CLOSING" if closes else None
            assert rule.next is (None if target is None else rules.State[target])
            assert rule.code == (rest if verdict in ("error", "close") and rest else None)


def test_every_request_has_an_input_of_its_own() -> None:
    assert len(rules.REQUEST_INPUT) == len(SPEC.requests)
    for request, number in rules.REQUEST_INPUT.items():
        assert request.__struct_config__.tag == number.name.lower()


def test_the_access_tables_are_those_of_the_spec() -> None:
    for table in SPEC.access:
        roles: Any = getattr(rules, f"{camel(table.name)}Role")
        actions: Any = getattr(rules, f"{camel(table.name)}Action")
        cells: Any = getattr(rules, f"{table.name.upper()}_ACCESS")
        assert [role.name.lower() for role in roles] == [*table.roles]
        assert [action.name.lower() for action in actions] == [*table.actions]
        for action in actions:
            row = table.actions[action.name.lower()]
            assert tuple(cells[role][action] for role in roles) == row


def test_every_error_has_its_sentence() -> None:
    assert {code: info._asdict() for code, info in errors.ERRORS.items()} == {
        error.name: {"message": error.message, "retry": error.retry, "closes": error.closes}
        for error in SPEC.errors
    }
    assert list(errors.ERRORS) == list(errors.ErrorCode)


def test_limits_and_byte_limits() -> None:
    assert rules.LIMITS._asdict() == {limit.name: limit.default for limit in SPEC.limits}
    byte_limits = {request.__name__: limits for request, limits in rules.BYTE_LIMITS.items()}
    password = (("password", 8, 128),)
    assert byte_limits == {"RegisterRequest": password, "LoginRequest": password}


def test_patterns_apart_are_those_of_sends_and_let_all_that_is_printable_into_texts() -> None:
    sends = {request.__name__: dict(found) for request, found in rules.PATTERNS.items()}
    assert sends.keys() == {"ChatRequest", "GroupChatRequest"}
    assert sends["ChatRequest"] == sends["GroupChatRequest"]
    assert sends["ChatRequest"].keys() == {"text", "key"}
    printable = "".join(chr(code) for code in range(0x110000) if chr(code).isprintable())
    assert sends["ChatRequest"]["text"].match(printable)


def test_the_word_from_is_an_attribute_with_an_underscore() -> None:
    message = next(push for push in SPEC.pushes if push.name == "message")
    decoded = decode(message, message.example)
    assert isinstance(decoded, messages.MessagePush)
    assert decoded.from_ == messages.User(id=2, name="bob")
    assert "from" in json.loads(msgspec.json.encode(decoded))
