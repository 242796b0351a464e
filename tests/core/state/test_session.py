"""Every input in every state does what the table in the spec says, and nothing else."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat.core.node import Node
from chat.core.ports.bus_messages import EntryBusMessage, ReceiptBusMessage
from chat.core.ports.effects import AnyEffect, Close, Query, Send
from chat.core.ports.events import (
    Answer,
    AnyEvent,
    BusMessageReceived,
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    Drain,
    EndOfInput,
    Tick,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.ports.operations import (
    AccountFound,
    AccountRow,
    AnyOutcome,
    CommitUnknown,
    DeviceFound,
    Done,
    LogEntry,
    PasswordChecked,
    Refused,
    RosterRead,
)
from chat.core.ports.rosters import FriendRow, Roster
from chat.core.requests.calls import Calls
from chat.core.state.config import NodeConfig
from chat.core.upkeep.admission import LINGER_MS
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import EntryKind, User
from chat.protocol.rules import REQUEST_INPUT, RULES, Input, State, Verdict

SPEC = yaml.safe_load((Path(__file__).parents[3] / "spec" / "messages.yaml").read_text())
ANN = User(id=1, name="ann")
ROSTER = Roster(ANN, 1, (FriendRow(2, "bob", 7, 0, 0),), (), ())
CONNECTION = 1
LOGIN = {"type": "login", "id": 900, "user": "ann", "password": "correct horse"}
CONFIG = NodeConfig()


class SessionHarness:
    """A node with one connection, brought into a state by what brings it there."""

    def __init__(self, state: State) -> None:
        self.node = Node(CONFIG)
        self.now_ms = 1_000_000
        self.effects: list[AnyEffect] = []
        self.feed(ConnectionOpened(CONNECTION, "10.0.0.1"))
        if state is State.CLOSING:
            self.feed(BytesReceived(CONNECTION, b"x" * (CONFIG.login_line_bytes + 1)))
        elif state is not State.ANONYMOUS:
            self.line(LOGIN)
        if state is State.READY:
            self.answer(AccountFound(AccountRow(ANN, "hash")))
            self.answer(PasswordChecked(True, "0" * 64))
            self.answer(Done())
            self.answer(RosterRead(ROSTER))
        assert self.state is state
        self.take()

    @property
    def state(self) -> State:
        return self.node._context.sessions[CONNECTION].state

    def feed(self, event: AnyEvent) -> None:
        self.effects += self.node.handle(event, self.now_ms)

    def line(self, message: object) -> None:
        self.feed(BytesReceived(CONNECTION, json.dumps(message).encode() + b"\n"))

    def answer(self, outcome: AnyOutcome) -> None:
        (query,) = (effect for effect in self.take() if isinstance(effect, Query))
        self.feed(Answer(query.ticket, outcome))

    def ask_then(self, outcome: AnyOutcome, message: dict[str, Any] | None = None) -> None:
        """A request is under way (in AUTHENTICATING one is); its outcome comes."""
        if self.state is State.READY:
            self.line(message or SPEC["requests"]["profile"]["example"])
            self.answer(outcome)
        else:
            self.feed(Answer(self.ticket(), outcome))

    def ticket(self) -> int:
        """The ticket of the one request that is under way."""
        (ticket,) = (
            ticket
            for ticket, (then, _) in self.node._context.continuations.items()
            if isinstance(then, partial) and then.func.__name__ == Calls._advance.__name__
        )
        return ticket

    def take(self) -> list[AnyEffect]:
        effects, self.effects = self.effects, []
        return effects

    def after(self, ms: int) -> None:
        """Time passes with nothing heard, and nothing else that is due is left out."""
        self.now_ms += ms
        self.feed(Tick())


def lines(effects: list[AnyEffect]) -> list[dict[str, Any]]:
    sent = [e.data for e in effects if isinstance(e, Send)]
    return [json.loads(line) for data in sent for line in data.splitlines()]


ENTRY = LogEntry(7, 1, EntryKind.TEXT, 2, "bob", "hi", 5)
INTERNAL: dict[Input, Callable[[SessionHarness], None]] = {
    Input.BYTES: lambda s: s.feed(BytesReceived(CONNECTION, b"\n")),
    Input.BAD_FRAME: lambda s: s.feed(BytesReceived(CONNECTION, b"[1]\n")),
    Input.BAD_MESSAGE: lambda s: s.line({"type": "chat", "id": 5}),
    Input.UNKNOWN_TYPE: lambda s: s.line({"type": "dance", "id": 5}),
    Input.TOO_LONG: lambda s: s.feed(BytesReceived(CONNECTION, b"x" * (CONFIG.line_bytes + 1))),
    Input.WRONG_PROTOCOL: lambda s: s.feed(BytesReceived(CONNECTION, b"POST / HTTP/1.1\r\n")),
    Input.WRITE_FULL: lambda s: s.feed(WriteBufferFull(CONNECTION)),
    Input.WRITE_DRAINED: lambda s: s.feed(WriteBufferDrained(CONNECTION, 0)),
    Input.LOGIN_TIMEOUT: lambda s: s.after(CONFIG.login_ms),
    Input.SILENCE: lambda s: s.after(CONFIG.ping_ms),
    Input.DRAIN: lambda s: s.feed(Drain(100)),
    Input.END_OF_INPUT: lambda s: s.feed(EndOfInput(CONNECTION)),
    Input.CONNECTION_LOST: lambda s: s.feed(ConnectionLost(CONNECTION)),
    Input.ENTRY: lambda s: s.feed(BusMessageReceived("u:1", EntryBusMessage(ENTRY))),
    Input.NEWS: lambda s: s.feed(BusMessageReceived("u:1", ReceiptBusMessage(7, 2, 1))),
    Input.ANSWER: lambda s: s.ask_then(
        Refused(ErrorCode.UNAVAILABLE) if s.state is State.READY else AccountFound(None)
    ),
    Input.ANSWER_UNKNOWN: lambda s: s.ask_then(CommitUnknown()),
}


def line_timeout(harness: SessionHarness) -> None:
    harness.feed(BytesReceived(CONNECTION, b'{"ty'))
    harness.after(CONFIG.line_ms)


def dead_timeout(harness: SessionHarness) -> None:
    harness.after(CONFIG.ping_ms)
    harness.take()
    harness.after(CONFIG.dead_ms - CONFIG.ping_ms)


def reply_delayed(harness: SessionHarness) -> None:
    """A request waits for the store for two rounds."""
    harness.line(SPEC["requests"]["profile"]["example"])
    harness.take()
    harness.after(CONFIG.reply_ping_ms // 2)
    harness.after(CONFIG.reply_ping_ms // 2)


def stall_timeout(harness: SessionHarness) -> None:
    harness.feed(WriteBufferFull(CONNECTION))
    harness.node._context.sessions[CONNECTION].since_ms += CONFIG.stall_ms
    harness.node._context.sessions[CONNECTION].heard_at_ms += CONFIG.stall_ms
    harness.take()
    harness.after(CONFIG.stall_ms)


def finish_timeout(harness: SessionHarness) -> None:
    if harness.state is State.READY:
        harness.line(SPEC["requests"]["profile"]["example"])
    elif harness.state is State.ANONYMOUS:
        # A request waits there only for its peer to read.
        harness.feed(WriteBufferFull(CONNECTION))
        harness.line(SPEC["requests"]["ping"]["example"])
    harness.feed(EndOfInput(CONNECTION))
    harness.take()
    harness.after(CONFIG.finish_ms)


def identified(harness: SessionHarness) -> None:
    harness.feed(Answer(harness.ticket(), AccountFound(AccountRow(ANN, "hash"))))
    if harness.state is State.CLOSING:
        return  # and so it is never asked for the rest
    harness.feed(Answer(harness.ticket(), PasswordChecked(True, "0" * 64)))
    harness.feed(Answer(harness.ticket(), Done()))
    harness.feed(Answer(harness.ticket(), RosterRead(ROSTER)))


def unidentified(harness: SessionHarness) -> None:
    if harness.state is State.READY:
        harness.ask_then(Done(), {"type": "logout", "id": 5})
    else:
        harness.ask_then(Refused(ErrorCode.BUSY))


INTERNAL |= {
    Input.LINE_TIMEOUT: line_timeout,
    Input.DEAD_TIMEOUT: dead_timeout,
    Input.REPLY_DELAYED: reply_delayed,
    Input.STALL_TIMEOUT: stall_timeout,
    Input.FINISH_TIMEOUT: finish_timeout,
    Input.IDENTIFIED: identified,
    Input.UNIDENTIFIED: unidentified,
}


def not_admitted(harness: SessionHarness) -> None:
    """The connection is one too many; it is opened anew, behind others of its address."""
    harness.feed(ConnectionLost(CONNECTION))
    for number in range(CONFIG.unauthenticated_per_address):
        harness.feed(ConnectionOpened(2 + number, "10.0.0.1"))
    harness.take()
    harness.feed(ConnectionOpened(CONNECTION, "10.0.0.1"))
    harness.after(LINGER_MS)


def replaced(harness: SessionHarness) -> None:
    """Other connections of the same device come, later than this one was heard."""
    for number in range(CONFIG.connections_per_device):
        harness.now_ms += 1
        harness.feed(ConnectionOpened(2 + number, "10.0.0.1"))
        harness.take()
        resume = SPEC["requests"]["resume"]["example"] | {"token": "0" * 64}
        harness.feed(BytesReceived(2 + number, json.dumps(resume).encode() + b"\n"))
        harness.answer(DeviceFound(ANN.id))
        if number == CONFIG.connections_per_device - 1:
            harness.take()
        harness.feed(Answer(harness.ticket(), RosterRead(ROSTER)))


def finished(harness: SessionHarness) -> None:
    """A drain that finds nothing under way."""
    harness.feed(Drain(100))


INTERNAL |= {
    Input.NOT_ADMITTED: not_admitted,
    Input.REPLACED: replaced,
    Input.FINISHED: finished,
}
ANSWERS = (Input.ANSWER, Input.ANSWER_UNKNOWN, Input.IDENTIFIED, Input.UNIDENTIFIED)
EXAMPLE = {
    input: SPEC["requests"][input.name.lower()]["example"] for input in REQUEST_INPUT.values()
}
CELLS = [(state, input) for state in State for input in Input]


def provoke(harness: SessionHarness, input: Input) -> None:
    if input in EXAMPLE:
        harness.line(EXAMPLE[input])
    else:
        INTERNAL[input](harness)


def ids(cell: object) -> str:
    return cell.name.lower() if isinstance(cell, State | Input) else ""


@pytest.mark.parametrize(("state", "input"), CELLS, ids=ids)
def test_cell(state: State, input: Input) -> None:
    rule = RULES[state][input]
    harness = SessionHarness(state)
    if rule.verdict is Verdict.NEVER:
        with pytest.raises(AssertionError):
            harness.node._context.sessions[CONNECTION].step(input, harness.now_ms)
        return
    if input in ANSWERS and state is State.CLOSING:
        harness = closing_with_a_request_under_way(input)
    provoke(harness, input)
    effects = harness.take()
    closed = any(isinstance(effect, Close) for effect in effects)
    errors = [line for line in lines(effects) if line["type"] == "error"]
    if input is Input.DRAIN and state in (State.ANONYMOUS, State.READY):
        assert lines(effects)[0]["type"] == "draining"
        return  # and then it is finished at once, which is a cell of its own
    if input is Input.END_OF_INPUT and state in (State.ANONYMOUS, State.READY):
        assert lines(effects) == []
        return  # and then it is finished at once, too
    if input is Input.CONNECTION_LOST:
        assert CONNECTION not in harness.node._context.sessions
        return
    assert harness.state is (rule.next if rule.next is not None else state)
    assert closed == (harness.state is State.CLOSING and state is not State.CLOSING)
    if rule.verdict is Verdict.ERROR or (rule.verdict is Verdict.CLOSE and rule.code):
        assert [error["code"] for error in errors] == [rule.code]
        assert rule.code is not None
        assert closed == (rule.verdict is Verdict.CLOSE or ERRORS[rule.code].closes)
        if input in EXAMPLE:
            assert errors[0]["re"] == EXAMPLE[input]["id"]
    elif rule.verdict in (Verdict.HOLD, Verdict.IGNORE):
        assert lines(effects) == []
        assert not any(isinstance(effect, Query) for effect in effects)
    elif input in EXAMPLE:
        asked = any(isinstance(effect, Query) for effect in effects)
        assert asked != any(line.get("re") == EXAMPLE[input]["id"] for line in lines(effects))
        assert not errors


def closing_with_a_request_under_way(input: Input) -> SessionHarness:
    if input in (Input.IDENTIFIED, Input.UNIDENTIFIED):
        harness = SessionHarness(State.AUTHENTICATING)
    else:
        harness = SessionHarness(State.READY)
        harness.line(SPEC["requests"]["profile"]["example"])
    harness.feed(WriteBufferFull(CONNECTION))
    harness.after(CONFIG.stall_ms)
    harness.take()
    assert harness.state is State.CLOSING
    return harness


@pytest.mark.parametrize("input", ANSWERS, ids=ids)
def test_what_is_answered_in_closing_is_ignored(input: Input) -> None:
    harness = closing_with_a_request_under_way(input)
    provoke(harness, input)
    effects = harness.take()
    assert harness.state is State.CLOSING
    assert lines(effects) == []
    assert not any(isinstance(effect, Query | Close) for effect in effects)


@pytest.mark.parametrize("input", list(EXAMPLE), ids=ids)
def test_what_is_held_is_taken_when_the_state_has_changed(input: Input) -> None:
    harness = SessionHarness(State.AUTHENTICATING)
    harness.line(EXAMPLE[input])
    assert harness.take() == []
    unidentified(harness)
    first, *rest = lines(harness.effects)
    assert first["re"] == LOGIN["id"]
    rule = RULES[State.ANONYMOUS][input]
    if rule.code is not None:
        assert [line["code"] for line in rest] == [rule.code]
    else:
        assert rest or any(isinstance(effect, Query) for effect in harness.effects)


def test_a_second_account_of_the_rules_is_nowhere() -> None:
    """The state is changed by the table alone: by `step`."""
    core = Path(__file__).parents[3] / "chat" / "core"
    changes = [
        f"{path.name}: {line.strip()}"
        for path in sorted(core.rglob("*.py"))
        for line in path.read_text().splitlines()
        if ".state =" in line
    ]
    assert changes == [
        "session.py: self.state = State.ANONYMOUS",
        "session.py: self.state = rule.next",
    ]
