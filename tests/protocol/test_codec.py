"""Bytes to lines to requests: however they are cut, whatever is in them."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.core.delivery.entry_json import encode_entry
from chat.core.ports.operations import LogEntry
from chat.protocol.codec import (
    BadMessage,
    Problem,
    decode_request,
    decode_server_message,
    encode,
    encode_request,
    encode_sent,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.frames import FrameSplitter
from chat.protocol.messages import (
    ChatRequest,
    EntryKind,
    MessagePush,
    PingRequest,
    RegisterRequest,
    SentReply,
    User,
)

LIMIT = 64
WRONG_PROTOCOL = decode_request(b"GET / HTTP/1.1")


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def taken(splitter: FrameSplitter) -> list[bytes]:
    lines = []
    while (line := splitter.take(LIMIT)) is not None:
        lines.append(line)
    return lines


line_bytes = (
    st.binary(max_size=LIMIT)
    .map(lambda line: line.replace(b"\n", b" "))
    .filter(lambda line: decode_request(line) != WRONG_PROTOCOL)
)


@given(st.lists(line_bytes), line_bytes, st.lists(st.integers(0, 10_000)), st.booleans())
def test_lines_survive_any_cut(
    lines: list[bytes], rest: bytes, cuts: list[int], eager: bool
) -> None:
    splitter = FrameSplitter()
    got: list[bytes] = []
    for part in split(b"".join(line + b"\n" for line in lines) + rest, cuts):
        splitter.feed(part)
        if eager:
            got += taken(splitter)
    got += taken(splitter)
    assert got == [line for line in lines if line.strip(b"\r")]
    assert splitter.buffered_bytes == len(rest)
    assert splitter.refused is None


@given(st.lists(line_bytes), st.integers(LIMIT + 1, 3 * LIMIT), st.booleans(), st.integers(1, 70))
def test_a_line_over_the_limit_is_told_at_any_cut(
    lines: list[bytes], length: int, ended: bool, step: int
) -> None:
    data = b"".join(line + b"\n" for line in lines) + b"x" * length + b"\n" * ended
    splitter = FrameSplitter()
    got: list[bytes] = []
    for start in range(0, len(data), step):
        splitter.feed(data[start : start + step])
        got += taken(splitter)
    assert got == [line for line in lines if line.strip(b"\r")]
    assert splitter.refused is ErrorCode.TOO_LONG
    assert splitter.buffered_bytes == 0


def decode(message: object) -> object:
    return decode_request(json.dumps(message).encode())


CHAT = {"type": "chat", "id": 3, "to": 2, "text": "hi", "key": "k"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"\xff",
        b"[]",
        b'"chat"',
        b"7",
        b"null",
        b"{",
        b'{"type":"ping","id":1',
        b'{"type":"ping","id":1}}',
        b'{"type":"ping","id":1,"x":NaN}',
        b'{"type":"ping","id":1,"x":"\xff"}',
        b'{"type":"ping","id":1,"x":"\xed\xa0\x80"}',
        b'{"type":"ping","id":1,"x":"\\ud800"}',
        b'{"type":"ping","id":1,"x":' + b"[" * 20 + b"]" * 20 + b"}",
        b'{"x":' * 17 + b"1" + b"}" * 17,
        b"[" * 60_000,
    ],
)
def test_not_one_json_object_in_utf8(line: bytes) -> None:
    problem = decode_request(line)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.re) == (ErrorCode.BAD_FRAME, None)


@pytest.mark.parametrize(
    ("change", "re"),
    [
        ({"to": [2]}, 3),
        ({"to": 0}, 3),
        ({"to": -1}, 3),
        ({"to": 2**53 + 1}, 3),
        ({"to": 2.0}, 3),
        ({"to": True}, 3),
        ({"to": None}, 3),
        ({"to": "no spaces"}, 3),
        ({"to": "123"}, 3),
        ({"text": ""}, 3),
        ({"text": 5}, 3),
        ({"text": "x" * 4001}, 3),
        ({"text": "bell \x07"}, 3),
        ({"text": "del \x7f"}, 3),
        ({"text": "c1 \x85"}, 3),
        ({"key": ""}, 3),
        ({"key": "a b"}, 3),
        ({"key": "ä"}, 3),
        ({"key": "k" * 65}, 3),
        ({"key": {"a": 1}}, 3),
        ({"id": "3"}, None),
        ({"id": -3}, None),
        ({"id": 3.5}, None),
        ({"id": 2**53 + 1}, None),
        ({"id": None}, None),
        ({"type": 5}, 3),
        ({"type": None}, 3),
    ],
)
def test_a_wrong_field_is_told_with_the_id(change: dict[str, Any], re: int | None) -> None:
    problem = decode(CHAT | change)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.re) == (ErrorCode.BAD_MESSAGE, re)
    assert 0 < len(problem.message) <= 400


@pytest.mark.parametrize("field", ["id", "to", "text", "key"])
def test_a_missing_field_is_told(field: str) -> None:
    problem = decode({name: value for name, value in CHAT.items() if name != field})
    assert isinstance(problem, Problem)
    assert problem.code is ErrorCode.BAD_MESSAGE


def test_an_unknown_type_is_told_with_the_id() -> None:
    assert decode({"type": "dance", "id": 9}) == Problem(
        ErrorCode.UNKNOWN_TYPE,
        9,
        decode({"type": "dance", "id": 9}).message,  # type: ignore[attr-defined]
    )


def test_what_is_allowed() -> None:
    assert isinstance(decode(CHAT | {"text": "a\n\tb 🙂", "extra": {"deep": [1]}}), ChatRequest)
    assert isinstance(decode(CHAT | {"text": "x" * 4000}), ChatRequest)
    assert isinstance(decode(CHAT | {"text": "[" * 100 + '"{\\'}), ChatRequest)
    assert isinstance(decode_request(b'{"type":"ping","id":0}\r'), PingRequest)


@pytest.mark.parametrize(
    ("password", "good"), [("ä" * 4, True), ("ä" * 64, True), ("ä" * 65, False), ("1234567", False)]
)
def test_passwords_are_measured_in_bytes(password: str, good: bool) -> None:
    request = decode({"type": "register", "id": 1, "name": "ann", "password": password})
    assert isinstance(request, RegisterRequest if good else Problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=200))
@example(b'{"type":')
def test_no_bytes_make_it_fall_over(line: bytes) -> None:
    decode_request(line)


@given(
    st.sampled_from(["type", "id", "to", "text", "key", "other"]),
    json_values,
)
def test_no_value_makes_it_fall_over(field: str, value: object) -> None:
    result = decode_request(json.dumps(CHAT | {field: value}).encode())
    assert isinstance(result, Problem | ChatRequest | PingRequest) or field == "type"


@given(*[st.integers(0, 2**53)] * 4)
def test_a_sent_is_written_as_any_other_reply(
    re: int, conversation: int, seq: int, at: int
) -> None:
    reply = SentReply(re=re, conversation=conversation, seq=seq, at=at)
    assert encode_sent(re, conversation, seq, at) == encode(reply)


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(
    name=ANY,
    text=ANY,
    number=st.integers(0, 2**53),
    own=st.booleans(),
    kind=st.sampled_from(list(EntryKind)),
    key=st.none() | ANY,
)
def test_an_entry_is_encoded_as_its_message_is(
    name: str, text: str, number: int, own: bool, kind: EntryKind, key: str | None
) -> None:
    entry = LogEntry(number, number, kind, number, name, text, number, key)
    push = MessagePush(
        conversation=number,
        seq=number,
        kind=kind,
        from_=User(id=number, name=name),
        text=text,
        at=number,
        key=key if own else None,
    )
    assert encode_entry(entry, own=own) == encode(push)


# ------------------------------------------------------------------------ the client's side


@given(st.integers(0, 2**53), st.integers(1, 2**53), st.integers(1, 2**53), st.integers(0, 2**53))
def test_a_server_message_comes_back(re: int, conversation: int, seq: int, at: int) -> None:
    reply = SentReply(re=re, conversation=conversation, seq=seq, at=at)
    assert decode_server_message(encode(reply).removesuffix(b"\n")) == reply


def test_a_request_comes_back() -> None:
    request = ChatRequest(id=7, to="bob", text="two\nlines: 日本", key="k-1")
    line = encode_request(request)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_request(line.removesuffix(b"\n")) == request


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"weather","sky":"blue"}',
        b'{"type":"presence","user":"bob"}',
        b'{"type":"message","kind":"kind to come"}',
    ],
)
def test_a_push_that_is_not_understood_is_left_out(line: bytes) -> None:
    assert decode_server_message(line) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"nonsense", "not the protocol"),
        (b"\xff\xfe", "not the protocol"),
        (b"[" * 5000, "not the protocol"),
        (b"[]", "not the protocol"),
        (b"{}", "not the protocol"),
        (b'{"type":7}', "not the protocol"),
        (b'{"type":"sent","re":1}', "an answer that this client does not understand"),
        (b'{"type":"weather","re":1}', "an answer that this client does not understand"),
        (b'{"type":"error","re":null}', "an answer that this client does not understand"),
    ],
)
def test_what_is_no_server_message_is_refused(line: bytes, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        decode_server_message(line)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_client_fall_over(line: bytes) -> None:
    with contextlib.suppress(BadMessage):
        decode_server_message(line)


@pytest.mark.parametrize("token", [b'\\"', b'"a', b"\\", b'"\\', b"[", b'{"a":', b'["'])
@pytest.mark.parametrize("start", [b"", b"[", b'{"a":["', b'[{"a":"'])
def test_a_line_of_one_token_repeated_takes_no_quadratic_work(start: bytes, token: bytes) -> None:
    """A scan that backtracks takes a quarter of a minute for some of these; none is a frame."""
    problem = decode_request(start + token * (65_536 // len(token)))
    assert isinstance(problem, Problem)
    assert problem.code is ErrorCode.BAD_FRAME


# ------------------------------------------------------------------------ other protocols

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
OTHER_PROTOCOLS = [
    *[f"{method} / HTTP/1.1".encode() for method in METHODS],
    b"PRI * HTTP/2.0",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


def outcome(data: bytes, step: int, limit_bytes: int = 4_096) -> tuple[list[bytes], object]:
    """The lines before the first line that is refused, and the code of that line."""
    splitter = FrameSplitter()
    lines: list[bytes] = []
    for start in range(0, len(data), step):
        splitter.feed(data[start : start + step])
        while (line := splitter.take(limit_bytes)) is not None:
            problem = decode_request(line)
            if isinstance(problem, Problem):
                return lines, problem.code
            lines.append(line)
    return lines, splitter.refused


@pytest.mark.parametrize("start", OTHER_PROTOCOLS, ids=repr)
@pytest.mark.parametrize("before", [b"", b"\n", b"\r\n\r\n\n", b'{"type":"ping","id":1}\r\n\n'])
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"x" * 9_000, b"x" * 9_000 + b"\n"], ids=len)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_another_protocol_is_told_at_any_cut(
    start: bytes, before: bytes, rest: bytes, step: int
) -> None:
    lines, code = outcome(before + start + rest, step)
    assert lines == ([b'{"type":"ping","id":1}\r'] if b"{" in before else [])
    assert code is ErrorCode.WRONG_PROTOCOL


@pytest.mark.parametrize(
    "line", [b"GETTING", b"GET", b"get / HTTP/1.1", b"PRI ", b'"GET "', b"\x16", b" GET / HTTP/1.1"]
)
def test_what_only_resembles_another_protocol_is_no_frame(line: bytes) -> None:
    assert outcome(line + b"\n", 1) == ([], ErrorCode.BAD_FRAME)


def test_blank_lines_of_telnet_are_passed_over() -> None:
    data = b'\r\n\r\n{"type":"ping","id":1}\r\n\r\n\n{"type":"ping","id":2}\r\n\r'
    for step in (1, 2, 3, len(data)):
        lines, code = outcome(data, step)
        assert (lines, code) == (
            [b'{"type":"ping","id":1}\r', b'{"type":"ping","id":2}\r'],
            None,
        )
