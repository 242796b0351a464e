"""A spec that makes no sense is refused, with one line that names the place."""

from pathlib import Path

import pytest

from spec.generator.documents.protocol import generate_protocol
from spec.generator.model import SpecError
from spec.generator.reading.load import read_yaml
from tests.spec.drafts import DROP, Change, load, refusal, spoiled


def test_the_spec_itself_is_not_refused() -> None:
    assert refusal() == []


def _assert_refused(changes: list[Change], sentence: str) -> None:
    problems = refusal(*changes)
    assert sentence in problems
    assert all("\n" not in problem for problem in problems)


STATES: list[tuple[list[Change], str]] = [
    (
        [("cells.identified", ["never", "accept", "never", "ignore"])],
        "states.READY: no way leads there from ANONYMOUS.",
    ),
    (
        [("states.READY.initial", True)],
        "states: exactly one state must be initial, not 2.",
    ),
    (
        [("states.CLOSING.final", DROP)],
        "states: exactly one state must be final, not 0.",
    ),
    (
        [("cells.ping.3", "accept -> READY")],
        "cells.ping: nothing leads out of the final state CLOSING.",
    ),
    (
        [("cells.ping", DROP)],
        "cells: there is no row for `ping`; decide it for every state.",
    ),
    (
        [("cells.drain", DROP)],
        "cells: there is no row for `drain`; decide it for every state.",
    ),
    (
        [("cells.ping", ["accept", "hold"])],
        "cells.ping: 2 cells for 4 states; decide every one.",
    ),
    (
        [("cells.sneeze", ["ignore"] * 4)],
        "cells.sneeze: it is neither a request nor an input; take it out or define it.",
    ),
    (
        [("cells.ping.0", "accept -> SLEEPING")],
        "cells.ping: there is no state `SLEEPING`.",
    ),
    (
        [("cells.ping.0", "never")],
        "cells.ping: a peer may send a request whenever it likes; decide it.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), STATES)
def test_states_that_make_no_sense(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


ERRORS: list[tuple[list[Change], str]] = [
    (
        [("errors.spare", {"message": "Never said."})],
        "errors.spare: nothing answers with it; take it out.",
    ),
    (
        [("requests.chat.errors.0", "no_such_thing")],
        "requests.chat: there is no error `no_such_thing`; define it.",
    ),
    (
        [("cells.too_long.0", "close no_such_thing")],
        "cells.too_long: there is no error `no_such_thing`; define it.",
    ),
    (
        [("access.group.actions.members.2", "no_such_thing")],
        "access.group.members: there is no error `no_such_thing`; define it.",
    ),
    (
        [("requests.ping.errors", ["bad_frame"])],
        "requests.ping: every request can get `bad_frame`; do not list it.",
    ),
    (
        [("cells.ping.0", "error forbidden")],
        "cells.ping: requests.ping does not list its error `forbidden`.",
    ),
    (
        [("access.group.actions.history.1", "forbidden")],
        "access.group.history: requests.history does not list its error `forbidden`.",
    ),
    (
        [("errors.busy.message", "Wait. " * 80 + "Now.")],
        "errors.busy: the message is longer than a Sentence may be.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), ERRORS)
def test_errors_that_make_no_sense(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


NAMES: list[tuple[list[Change], str]] = [
    (
        [("inputs.ping", "Twice.")],
        "inputs.ping: the name `ping` is taken by requests.ping; choose another.",
    ),
    (
        [("pushes.done", {"doc": "Twice.", "example": {"type": "done"}})],
        "pushes.done: the name `done` is taken by replies.done; choose another.",
    ),
    (
        [("types.Role", {"base": "int", "min": 1, "max": 2, "doc": "Twice."})],
        "enums.Role: the name `Role` is taken by types.Role; choose another.",
    ),
    (
        [("structs.PingPush", {"doc": "Twice.", "fields": {"id": "UserId"}})],
        "pushes.ping: the name `PingPush` is taken by structs.PingPush; choose another.",
    ),
    (
        [("enums.Request", {"doc": "Twice.", "values": {"one": "One."}})],
        "the generated code: the name `Request` is taken by enums.Request; choose another.",
    ),
    (
        [("requests.resume.command", "login")],
        "requests.resume: the name `command login` is taken by requests.login; choose another.",
    ),
    (
        [("requests.chat.fields.id", "UserId")],
        "requests.chat.id: every message has `id` already; choose another name.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), NAMES)
def test_doubled_names(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


EXCHANGES: list[tuple[list[Change], str]] = [
    (
        [("requests.ping.reply", DROP)],
        "requests.ping: it has no reply; every request is answered.",
    ),
    (
        [("requests.ping.reply", "echo")],
        "requests.ping: there is no reply `echo`; define it.",
    ),
    (
        [("requests.ping.reply", "error")],
        "requests.ping: `error` is no reply of its own; every request may get it.",
    ),
    (
        [("requests.ping.reply", "done")],
        "replies.pong: no request is answered by it; take it out.",
    ),
    (
        [("replies.pong.optional_re", True)],
        "replies.pong: only `error` may come without `re`.",
    ),
    (
        [("access.group.actions.members", ["allow", "allow"])],
        "access.group.members: 2 cells for 3 roles; decide every one.",
    ),
    (
        [("access.group.actions.rename", ["allow", "allow", "allow"])],
        "access.group.rename: there is no request `rename`.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), EXCHANGES)
def test_requests_without_an_answer_or_a_decision(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


TYPES: list[tuple[list[Change], str]] = [
    (
        [("requests.chat.fields.mood", "Mood")],
        "requests.chat.mood: there is no type `Mood`; define it.",
    ),
    (
        [("types.UserRef.union.0", "Mood")],
        "types.UserRef: `Mood` is not a type defined before it.",
    ),
    (
        [("structs.User.fields.limits", "Limits")],
        "structs.User.limits: `Limits` must be defined before the struct that uses it.",
    ),
    (
        [("types.Mood", {"base": "int", "min": 1, "max": 2, "doc": "Unused."})],
        "types.Mood: nothing uses it; take it out.",
    ),
    (
        [("types.Seq.min", 9), ("types.Seq.max", 8)],
        "types.Seq: min 9 is more than max 8.",
    ),
    (
        [("types.Password.min_bytes", 200)],
        "types.Password: min_bytes 200 is more than max_bytes 128.",
    ),
    (
        [("types.Key.pattern", "^[")],
        "types.Key: the pattern is no regular expression (unterminated character set at"
        " position 1).",
    ),
    (
        [("replies.sent.fields.secret", "Password")],
        "replies.sent.secret: byte limits are checked in plain fields of requests only.",
    ),
    (
        [("requests.chat.fields.secret", {"type": {"list": "Password"}})],
        "requests.chat.secret: byte limits are checked in plain fields of requests only.",
    ),
    (
        [("requests.chat.fields.all", {"type": {"map": ["User", "Seq"]}})],
        "requests.chat.all: a map's key must be a number or a string, not the struct.",
    ),
    (
        [("requests.chat.fields.seq", {"type": "Seq", "default": {}})],
        "requests.chat.seq: the default is a map and the type is not.",
    ),
    (
        [("requests.history.fields.before.default", 3)],
        "requests.history.before: what has a default may be left out anyway; take `optional` away.",
    ),
    (
        [("structs.Limits.fields.jokes", "Count")],
        "structs.Limits.jokes: there is no limit of that name.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), TYPES)
def test_types_that_make_no_sense(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


EXAMPLES: list[tuple[list[Change], str]] = [
    ([("requests.ping.example.type", "pong")], "requests.ping.example: its type is not `ping`."),
    (
        [("requests.chat.example.key", DROP)],
        "requests.chat.example: Object missing required field `key`.",
    ),
    (
        [("requests.chat.example.text", "")],
        "requests.chat.example: Expected `str` of length >= 1 - at `$.text`.",
    ),
    (
        [("requests.chat.example.mood", "fine")],
        "requests.chat.example: `mood` is no field of it.",
    ),
    (
        [("pushes.friend.example.friend.mood", "fine")],
        "pushes.friend.example: `friend` comes back as {'id': 2, 'name': 'bob', 'state': 'online',"
        " 'conversation': 7, 'seq': 0, 'read': 0}.",
    ),
    (
        [("requests.login.example.password", "short")],
        "requests.login.example: `password` has not 8 to 128 bytes.",
    ),
    (
        [("requests.group_chat.answer.seq", 0)],
        "requests.group_chat.answer: Expected `int` >= 1 - at `$.seq`.",
    ),
    (
        [("requests.history.fields.limit.default", 201)],
        "requests.history.limit: the default is refused: Expected `int` <= 200 - at `$.limit`.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), EXAMPLES)
def test_examples_that_are_not_what_they_show(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


SHAPES: list[tuple[list[Change], str]] = [
    (
        [("colour", "blue")],
        "the file: Additional properties are not allowed ('colour' was unexpected).",
    ),
    (
        [("requests.chat.colour", "blue")],
        "requests.chat: Additional properties are not allowed ('colour' was unexpected).",
    ),
    ([("errors", DROP)], "the file: 'errors' is a required property."),
    (
        # What a comma in an unquoted text of a flow mapping comes to.
        [("types.Text.000 code points", None)],
        "types.Text: Additional properties are not allowed ('000 code points' was unexpected).",
    ),
    (
        [("requests.Chat", {"doc": "Loud.", "example": {"type": "Chat"}})],
        "requests: 'Chat' does not match '^[a-z][a-z0-9]*(_[a-z0-9]+)*$'.",
    ),
    (
        [("cells.ping.0", "shrug")],
        "cells.ping.0: 'shrug' does not match '^(accept|accept -> [A-Z][A-Z_]*|error"
        " [a-z][a-z0-9_]*|hold|ignore|close|close [a-z][a-z0-9_]*|never)$'.",
    ),
    (
        [("limits.line_ms.default", "soon")],
        "limits.line_ms.default: 'soon' is not of type 'integer'.",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), SHAPES)
def test_a_file_of_the_wrong_shape(changes: list[Change], sentence: str) -> None:
    _assert_refused(changes, sentence)


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "messages.yaml"
    path.write_text("errors:\n  busy: {message: One.}\n  busy: {message: Two.}\n")
    with pytest.raises(SpecError, match="line 3: `busy` stands there twice"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a: [1", "messages.yaml is not YAML: "),
        (b"- a\n- b\n", "messages.yaml holds no mapping."),
        (b"a: \xff\n", "messages.yaml cannot be read: "),
    ],
)
def test_a_file_that_is_no_spec(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "messages.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        read_yaml(path)
    (problem,) = caught.value.problems
    assert problem.startswith(sentence)
    assert "\n" not in problem


def test_prose_that_names_a_limit_there_is_not() -> None:
    spec = load(spoiled())
    assert "at most 65,536 bytes" in generate_protocol(
        spec, "A line has at most {{line_bytes}} bytes."
    )
    with pytest.raises(SpecError, match="there is no limit `patience`"):
        generate_protocol(spec, "Have {{patience}}.")


def test_every_problem_is_told_at_once() -> None:
    problems = refusal(("cells.ping", DROP), ("errors.spare", {"message": "Never said."}))
    assert len(problems) == 2
