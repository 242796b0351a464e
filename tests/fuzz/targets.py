"""What hostile lines are fed to, and what must hold then."""

import contextlib
import json
import unicodedata
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import effects as fx
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect
from chat.client.terminal import rendering
from chat.protocol.codec import BadMessage, Problem, decode_request, decode_server_message
from chat.protocol.errors import ERRORS
from chat.protocol.frames import FrameSplitter
from tests.core.node_harness import NodeHarness, ping
from tests.fuzz.lines import Lines

LINE_BYTES: Final = 65_536
MUCH: Final = 10**9
GENEROUS: Final[dict[str, Any]] = dict.fromkeys(
    (
        *("sends_per_second", "send_burst", "cost_per_second", "cost_burst", "lines_per_second"),
        *("line_burst", "registrations_per_minute", "registration_burst", "logins_per_second"),
        *("login_burst", "failed_logins_per_minute", "failed_resumes_per_minute"),
    ),
    MUCH,
)
"""Budgets that are never used up, so that each line is answered at once."""
WELCOME: Final = (
    b'{"type":"welcome","protocol":1,"node":"n","now":1,"limits":{"login_line_bytes":4096,'
    b'"line_bytes":65536,"in_flight":64,"sends_per_second":20,"send_burst":40,"ping_ms":20000,'
    b'"dead_ms":45000}}\n'
)
LOGGED_IN: Final = (
    b'{"type":"logged_in","re":%d,"user":{"id":1,"name":"ann"},"token":"' + b"0" * 64 + b'",'
    b'"friends":[{"id":7,"name":"bob","state":"online","conversation":7,"seq":9,"read":0}],'
    b'"groups":[],"requests":[]}\n'
)


def is_blank(line: bytes) -> bool:
    return not line.strip(b"\r")


def decode(lines: Lines) -> None:
    """A line is the same line however it comes, and is a request or a problem with a sentence."""
    line = lines.draw()
    splitter, got = FrameSplitter(), []
    data, start = line + b"\n", 0
    while start < len(data):
        end = start + lines.rng.choice((1, 5, 1_000, 100_000))
        splitter.feed(data[start:end])
        start = end
        while (whole := splitter.take(LINE_BYTES)) is not None:
            got.append(whole)
    decoded = decode_request(line)
    if splitter.refused is not None:
        assert got == []
        assert isinstance(decoded, Problem) and decoded.code is splitter.refused
    else:
        assert got == ([] if is_blank(line) else [line])
    if isinstance(decoded, Problem):
        assert 0 < len(decoded.message) <= 400


def decode_server(lines: Lines) -> None:
    with contextlib.suppress(BadMessage):
        decode_server_message(lines.draw())


class NodeTarget:
    """A node with a hostile peer, and one that must not notice. The harness raises internal errors
    and checks the node's tables after each event."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._start()

    def _start(self) -> None:
        self._harness = NodeHarness(**GENEROUS, login_line_bytes=LINE_BYTES)
        self._harness.register("ann", "eve")
        self._ann = self._harness.login("ann")
        self._eve = self._harness.login("eve")
        self._pings = 0

    def run(self) -> None:
        eve, rng = self._eve, self._lines.rng
        line = self._lines.draw()
        before = len(eve.got)
        data = line + b"\n"
        cut = rng.randrange(len(data) + 1)
        eve.write(data[:cut])
        if eve.open:
            eve.write(data[cut:])
        self._harness.pass_time(1)  # a long line waits for a quantum of its own
        answers = [told for told in eve.got[before:] if "re" in told or told.get("type") == "error"]
        assert len(answers) == (not is_blank(line)), [str(told)[:200] for told in answers]
        for answer in answers:
            if answer["type"] == "error":
                assert answer["code"] in list(ERRORS)
        self._pings += 1
        if self._pings % 50 == 0:
            self._check_ann()
        if eve.closed:
            assert answers[0]["code"] == "wrong_protocol"
        if not eve.closed and rng.random() < 0.05:
            eve.ask("login", user="eve", password="secret-eve")
            self._harness.run()
        if eve.closed or self._pings % 500 == 0:
            eve.hang_up()
            self._harness.run()
            self._harness.pass_time(61_000)
            self._start()
        eve.got.clear()

    def _check_ann(self) -> None:
        self._ann.write(ping(self._pings))
        self._harness.run()
        assert {"type": "pong", "re": self._pings} in self._ann.got
        self._ann.got.clear()


class ClientTarget:
    """A session whose node is hostile; what it tells is shown on a terminal."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._clock = rendering.Clock(datetime(2026, 1, 2, tzinfo=UTC), UTC)
        self._now_ms = 0
        self._start()

    def _start(self) -> None:
        self._session = ClientSession("key", lambda: 0.5)
        self._connection = 0
        self._refs = 0
        self._unsettled: set[int] = set()
        self._asked: deque[int] = deque(maxlen=5)
        """The last requests that were not answered at once."""
        self._feed(ev.LogIn("ann", "correct horse"))

    def run(self) -> None:
        """One line of the node; now and then the user writes, or time passes."""
        rng = self._lines.rng
        if not self._connection or rng.random() < 0.1:
            self._now_ms = max(self._now_ms, self._session.next_deadline_ms() or 0)
            self._feed(ev.Tick())
        if rng.random() < 0.1:
            self._refs += 1
            self._unsettled.add(self._refs)
            self._feed(ev.SendChat(self._refs, 7, "hello"))
        if self._session.next_deadline_ms() is None or self._refs > 200:
            self._start()
        if self._connection:
            data = self._lines.draw() if rng.random() < 0.5 else self._plausible()
            self._feed(ev.BytesReceived(self._connection, data + b"\n"))

    def _plausible(self) -> bytes:
        """A line that a session takes further: the next entry, or an answer to something."""
        message, rng = self._lines.message(), self._lines.rng
        if message["type"] == "message" and 7 in self._session.cursors:
            message |= {"conversation": 7, "seq": self._session.cursors[7] + 1}
            message["text"] = rng.choice(("hi", "\x1b[31m\u202e", "a\nb\u2028c", "\u200b\x9b"))
        if "re" in message:
            message["re"] = rng.choice(list(self._asked) or [1])
        self._lines.last = json.dumps(message).encode()
        return self._lines.last

    def _answer(self, request: dict[str, Any]) -> bytes:
        """What is said to a request: mostly what a good node says, so that sessions get far."""
        if request["type"] in ("login", "resume") and self._lines.rng.random() < 0.95:
            return LOGGED_IN % int(request["id"])
        self._asked.append(request["id"])
        return b""

    def _feed(self, event: ev.AnyEvent) -> None:
        waiting = [event]
        while waiting:
            for effect in self._session.handle(waiting.pop(0), self._now_ms):
                waiting += self._carry_out(effect)

    def _carry_out(self, effect: AnyEffect) -> list[ev.AnyEvent]:
        match effect:
            case fx.Dial(number):
                self._connection = number
                connected: list[ev.AnyEvent] = [ev.Connected(number)]
                if self._lines.rng.random() < 0.95:
                    connected.append(ev.BytesReceived(number, WELCOME))
                return connected
            case fx.HangUp():
                self._connection = 0
            case fx.Transmit(number, data):
                assert len(data) < 100_000
                requests = [json.loads(line) for line in data.splitlines() if line]
                answers = b"".join(self._answer(request) for request in requests)
                if answers:
                    return [ev.BytesReceived(number, answers)]
            case notices.SendSettled() | notices.SendFailed():
                assert effect.ref in self._unsettled, "a send is settled twice"
                self._unsettled.remove(effect.ref)
            case notices.EntryApplied():
                entry = effect.entry
                roster = self._session.roster
                shown = rendering.entry_line(effect.conversation, entry, roster, self._clock)
                check_shown(shown)
            case notices.LoggedIn():
                check_shown(rendering.login_screen(effect.user, self._session.roster))
            case _ if isinstance(effect, notices.RosterNotice):
                check_shown(rendering.roster_change(effect))
        return []


def check_shown(text: str) -> None:
    """Nothing in it is obeyed by a terminal, but newlines."""
    for character in set(text):
        category = unicodedata.category(character)
        bidi = unicodedata.bidirectional(character)
        assert category not in ("Cc", "Cs") or character == "\n", ascii(text[:200])
        assert bidi not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"), ascii(
            text[:200]
        )
