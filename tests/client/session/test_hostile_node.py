"""A hostile node's worst: the client neither waits for ever, nor sends without a pause, nor grows
without bound, nor falls over."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chat.client.session import calls, device
from chat.client.session import client_session as session_module
from chat.client.session.client_session import ClientSession
from chat.client.session.ports import effects as fx
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect
from chat.protocol.messages import MembersRequest
from tests.protocol import model

Line = dict[str, Any]
Answer = Callable[[Line], list[Line]]

HUGE = 2**53
LIMITS = {
    "login_line_bytes": 4096,
    "line_bytes": 65536,
    "in_flight": 64,
    "sends_per_second": 20,
    "send_burst": 40,
    "ping_ms": 20_000,
    "dead_ms": 45_000,
}
WELCOME = next(model.message(push) for push in model.SERVER_MESSAGES if push.tag == "welcome") | {
    "protocol": 1
}
ANN = {"id": 1, "name": "ann"}
BOB = {"id": 2, "name": "bob", "state": "online", "conversation": 7, "seq": 0, "read": 0}


def welcome(**limits: int) -> Line:
    return WELCOME | {"limits": WELCOME["limits"] | LIMITS | limits}


def logged_in(re: int, **changed: object) -> Line:
    line = {"type": "logged_in", "re": re, "user": ANN, "token": "0" * 64}
    return line | {"friends": [BOB], "groups": [], "requests": []} | changed


def good_answer(request: Line) -> list[Line]:
    """What a good node says to the requests that these tests make."""
    if request["type"] in ("login", "resume"):
        return [logged_in(request["id"])]
    if request["type"] == "ping":
        return [{"type": "pong", "re": request["id"]}]
    if request["type"] == "mark_read":
        return [{"type": "done", "re": request["id"]}]
    return []


class HostileNode:
    """A node that answers as it likes, the one client that it has, and a clock."""

    def __init__(self, answer: Answer = good_answer, greeting: list[Line] | None = None) -> None:
        self.answer = answer
        self.greeting = [welcome()] if greeting is None else greeting
        self.session = ClientSession("key", lambda: 0.5)
        self.now_ms = 1_000
        self.connection = 0
        self.dials = 0
        self.requests: list[Line] = []
        self.sent_bytes = 0
        self.notices: list[notices.AnyNotice] = []
        self.feed(ev.LogIn("ann", "correct horse"))

    def feed(self, event: ev.AnyEvent) -> None:
        waiting = [event]
        while waiting:
            for effect in self.session.handle(waiting.pop(0), self.now_ms):
                waiting += self._carry_out(effect)

    def _carry_out(self, effect: AnyEffect) -> list[ev.AnyEvent]:
        match effect:
            case fx.Dial(number):
                self.dials += 1
                self.connection = number
                return [ev.Connected(number), ev.BytesReceived(number, encoded(self.greeting))]
            case fx.HangUp():
                self.connection = 0
            case fx.Transmit(number, data):
                self.sent_bytes += len(data)
                return [] if number != self.connection else self._answers(number, data)
            case _:
                self.notices.append(effect)
        return []

    def _answers(self, number: int, data: bytes) -> list[ev.AnyEvent]:
        asked = [json.loads(line) for line in data.splitlines() if line]
        self.requests += asked
        # Each answer takes a millisecond: a client that repeats at once does so at that pace.
        self.now_ms += len(asked)
        told = encoded([line for request in asked for line in self.answer(request)])
        return [ev.BytesReceived(number, told)] if told else []

    def say(self, *lines: Line) -> None:
        self.feed(ev.BytesReceived(self.connection, encoded(list(lines))))

    def pass_time(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        for _ in range(20_000):
            due_ms = self.session.next_deadline_ms()
            if due_ms is None or due_ms > end_ms:
                self.now_ms = max(self.now_ms, end_ms)
                return
            self.now_ms = max(self.now_ms, due_ms)
            self.feed(ev.Tick())
        raise AssertionError("the client is never done")

    def asked(self, type: str) -> int:
        return sum(request["type"] == type for request in self.requests)

    def check_quiet(self, ms: int = 60_000) -> None:
        """For a minute the client sends and dials little, and it ends with a deadline or at rest
        that a good node would bring back."""
        requests, dials, sent_bytes = len(self.requests), self.dials, self.sent_bytes
        self.pass_time(ms)
        minutes = ms / 60_000
        assert len(self.requests) - requests <= 1_300 * minutes
        assert self.dials - dials <= 60 * minutes
        assert self.sent_bytes - sent_bytes <= 200_000 * minutes

    def check_recovers(self) -> None:
        """From a node that is good from now on the client gets what it wants, within 5 minutes."""
        self.answer, self.greeting = good_answer, [welcome()]
        self.pass_time(301_000)
        assert self.session.online


def encoded(lines: list[Line]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


# ------------------------------------------------------------------------ waits and limits


@pytest.mark.parametrize("wait_ms", [0, 1, 10**15, HUGE])
def test_a_wait_after_draining_is_a_minute_at_most(wait_ms: int) -> None:
    node = HostileNode()
    node.say({"type": "draining", "retry_after_ms": wait_ms})
    assert not node.session.online
    node.pass_time(61_000)
    assert node.session.online


@pytest.mark.parametrize("wait_ms", [None, 0, 1, 10**15, HUGE])
@pytest.mark.parametrize("code", ["rate_limited", "busy", "unavailable"])
@pytest.mark.parametrize("refused", ["login", "chat", "members", "mark_read"])
def test_a_wait_after_an_error_is_neither_endless_nor_nothing(
    refused: str, code: str, wait_ms: int | None
) -> None:
    def answer(request: Line) -> list[Line]:
        if request["type"] != refused:
            return good_answer(request)
        error = {"type": "error", "re": request["id"], "code": code, "message": "no"}
        return [error if wait_ms is None else error | {"retry_after_ms": wait_ms}]

    node = HostileNode(answer)
    node.feed(ev.SendChat(1, 2, "hello"))
    node.feed(ev.SubmitRequest(2, MembersRequest(id=0, group=1)))
    node.say({"type": "message", "conversation": 7, "seq": 1, "kind": "text", "from": ANN}
             | {"text": "hi", "at": 1})  # fmt: skip
    node.feed(ev.MarkRead(7, 1))
    node.check_quiet()
    asked = node.asked(refused)
    if refused != "members" and (refused, code) != ("login", "rate_limited"):
        node.pass_time(301_000)
        assert node.asked(refused) > asked, "it waits for ever"


@pytest.mark.parametrize("value", [0, 1, 2, 10**15, HUGE])
@pytest.mark.parametrize("limit", sorted(WELCOME["limits"]))
def test_no_limit_of_a_welcome_stops_the_client_or_has_it_flood(limit: str, value: int) -> None:
    node = HostileNode(greeting=[welcome(**{limit: value})])
    for ref in range(20):
        node.feed(ev.SendChat(ref, 2, "hello"))
    assert node.session.online
    assert node.asked("chat") == 1  # of one friend, one at a time
    node.check_quiet(19_000)
    assert node.session.online
    assert node.asked("ping") <= 20


def test_a_silent_node_is_noticed_whatever_its_welcome_says() -> None:
    node = HostileNode(greeting=[welcome(ping_ms=HUGE, dead_ms=HUGE)])
    node.answer = lambda request: []
    node.pass_time(75_000)
    assert node.dials > 1


def test_a_second_welcome_changes_nothing() -> None:
    node = HostileNode()
    for _ in range(100):
        node.say(welcome(ping_ms=1), welcome(in_flight=0))
    assert node.session.online and node.asked("login") == 1


# ------------------------------------------------------------------------ answers


WRONG_ANSWERS = [
    model.message(struct)
    for struct in model.SERVER_MESSAGES
    if any(field.encode_name == "re" for field in struct.fields)
]


@pytest.mark.parametrize("reply", WRONG_ANSWERS, ids=lambda reply: str(reply["type"]))
@pytest.mark.parametrize("request_type", ["login", "chat", "members", "mark_read", "ping"])
def test_an_answer_of_any_type_neither_stops_the_client_nor_has_it_flood(
    request_type: str, reply: Line
) -> None:
    def answer(request: Line) -> list[Line]:
        if request["type"] != request_type:
            return good_answer(request)
        return [reply | {"re": request["id"]}]

    node = HostileNode(answer)
    node.feed(ev.SendChat(1, 2, "hello"))
    node.feed(ev.SubmitRequest(2, MembersRequest(id=0, group=1)))
    node.check_quiet()
    if node.session.logged_in or node.session.next_deadline_ms() is not None:
        node.check_recovers()
        if request_type == "chat" and reply["type"] not in ("sent", "error"):
            assert node.asked("chat") > 1, "the text is never sent again"


def test_answers_to_nothing_are_left_out() -> None:
    node = HostileNode()
    for reply in WRONG_ANSWERS:
        for re in (0, 1, 77, HUGE):
            node.say(reply | {"re": re})
    assert node.session.online and node.asked("login") == 1
    node.check_quiet()


def test_a_sent_for_what_was_not_sent_is_left_out() -> None:
    node = HostileNode()
    node.feed(ev.SendChat(1, 2, "hello"))
    (sent,) = [request for request in node.requests if request["type"] == "chat"]
    for re in (sent["id"] + 1, sent["id"] - 1, HUGE):
        node.say({"type": "sent", "re": re, "conversation": 7, "seq": 1, "at": 1})
    assert node.session.unsettled == 1
    node.say({"type": "message", "conversation": 7, "seq": 1, "kind": "text", "from": ANN}
             | {"text": "x", "at": 1, "key": "never-1"})  # fmt: skip
    assert node.session.unsettled == 1


@pytest.mark.parametrize("seq", [2, 1_000, HUGE])
def test_jumps_of_seq_end_connections_at_a_pace(seq: int) -> None:
    push = {"type": "message", "conversation": 7, "seq": seq, "kind": "text", "from": ANN}

    def answer(request: Line) -> list[Line]:
        return [*good_answer(request), push | {"text": "x", "at": HUGE}]

    node = HostileNode(answer)
    node.check_quiet()
    assert node.dials > 3
    node.check_recovers()


@pytest.mark.parametrize("after", ["welcome", "logged_in"])
def test_a_node_that_always_closes_is_dialled_at_a_pace(after: str) -> None:
    drain = {"type": "draining", "retry_after_ms": 0}
    if after == "welcome":
        node = HostileNode(greeting=[welcome(), drain])
    else:
        node = HostileNode(lambda request: [*good_answer(request), drain])
    node.check_quiet()
    node.check_recovers()


# ------------------------------------------------------------------------ floods


def test_a_flood_of_pings_is_answered_once_for_each_piece() -> None:
    node = HostileNode()
    sent_bytes = node.sent_bytes
    for _ in range(10):
        node.feed(ev.BytesReceived(node.connection, b'{"type":"ping"}\n' * 5_000))
    assert node.sent_bytes - sent_bytes <= 10


def test_a_line_without_an_end_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_LINE_BYTES", 100_000)
    node = HostileNode()
    number = node.connection
    for _ in range(1_000):
        node.feed(ev.BytesReceived(number, b'{"type":"' + b"x" * 1_000))
    assert not node.session.online
    assert node.session._calls._frames.buffered_bytes <= 101_000
    node.check_recovers()


def a_friend(number: int) -> Line:
    return BOB | {"id": number, "name": f"b{number}", "conversation": number}


def a_group(number: int) -> Line:
    return {"id": number, "name": "g", "description": "", "role": "member", "seq": 0} | {
        "read": 0,
        "since": 1,
    }


MANY: dict[str, Callable[[int], Line]] = {
    "friend": lambda n: {"type": "friend", "friend": a_friend(n)},
    "group": lambda n: {"type": "group", "group": a_group(n)},
    "friend_request": lambda n: {"type": "friend_request", "user": {"id": n, "name": f"b{n}"}},
    "receipt": lambda n: {"type": "receipt", "conversation": n, "user": 1, "seq": 1},
    "left": lambda n: {"type": "group", "group": a_group(n)},
}


@pytest.mark.parametrize("kind", MANY)
def test_endless_news_of_friends_and_groups_takes_bounded_memory(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(device, "MAX_CONVERSATIONS", 1_000)
    node = HostileNode()
    for number in range(10, 5_000):
        if not node.connection:
            break
        node.say(MANY[kind](number))
        if kind == "left":
            node.say({"type": "group_deleted", "group": number})
    assert not node.session.logged_in
    assert len(node.session.roster.conversations) == 0
    (failed,) = [notice for notice in node.notices if isinstance(notice, notices.LoginFailed)]
    assert failed.message == session_module.TOO_MUCH
    assert node.session.next_deadline_ms() is None


def test_as_many_friends_as_are_allowed_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "MAX_CONVERSATIONS", 1_000)
    friends = [a_friend(number) for number in range(10, 1_009)]
    node = HostileNode(lambda request: [logged_in(request["id"], friends=friends)])
    assert node.session.online and len(node.session.roster.friends) == 999


NAMES = ["x" * 33, "x" * 2_000_000, "", "\x1b[31mred", "a\nb", "\u202eevil", "\ud800", "a\x00"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:9]))
def test_a_name_that_is_none_does_not_get_into_the_roster(name: str) -> None:
    node = HostileNode()
    node.say({"type": "friend", "friend": BOB | {"id": 3, "name": name}})
    assert 3 not in node.session.roster.friends
    node.check_recovers()


def test_pushes_of_every_type_before_the_login_do_no_harm() -> None:
    pushes = [
        model.message(struct)
        for struct in model.SERVER_MESSAGES
        if not any(field.encode_name == "re" for field in struct.fields)
    ]
    pushes = [push for push in pushes if push["type"] not in ("draining", "welcome")]
    node = HostileNode(greeting=[*pushes, welcome(), *pushes])
    node.check_quiet()
    node.check_recovers()
