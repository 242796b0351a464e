"""How soon a client is online again, and how often it tries, under a virtual clock."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.client.session.client_session import ClientSession
from chat.client.session.connection import Timing
from chat.client.session.ports import effects as fx
from chat.client.session.ports import events as ev
from chat.client.session.ports.notices import ConnectionChanged, ConnectionStatus
from chat.protocol import messages as wire
from chat.protocol.codec import encode
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import PROTOCOL
from tests.client.client_harness import Client, ClientHarness

REFUSED, CLOSES, BUSY, SILENT, HEALTHY = ("refused", "closes", "busy", "silent", "healthy")
"""What a dialled server does: it refuses; accepts and closes at once; says `busy` and closes;
accepts and says nothing; logs the client in."""
TIMING = Timing()
ROUND_TRIP_MS = 50
LIMITS = wire.Limits(
    login_line_bytes=4_096,
    line_bytes=65_536,
    in_flight=64,
    sends_per_second=20,
    send_burst=40,
    ping_ms=20_000,
    dead_ms=45_000,
    reply_ping_ms=1_000,
)
WELCOME = encode(wire.WelcomePush(protocol=PROTOCOL, node="node", now=0, limits=LIMITS))
BUSY_ERROR = encode(wire.ErrorReply(code=ErrorCode.BUSY, message="busy", retry_after_ms=700))
ANN = wire.User(id=1, name="ann")


class Path:
    """One client session, and servers that behave as `behaviour` says at the time of a Dial."""

    def __init__(self, seed: int, behaviour: Callable[[int], str]) -> None:
        self.session = ClientSession("ann", random.Random(seed).random)
        self.behaviour = behaviour
        self.now_ms = 0
        self.dials_ms: list[int] = []
        self.online_ms: list[int] = []
        self.open: set[int] = set()
        self._due: list[tuple[int, ev.AnyEvent]] = []

    def start(self) -> None:
        self.feed(ev.LogIn("ann", "secret"))
        self.run_until(1_000)
        assert self.session.online

    def cut(self) -> None:
        """The connection breaks."""
        self.feed(ev.Disconnected(len(self.dials_ms), "reset"))

    def feed(self, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.Disconnected):
            self.open.discard(event.connection)
        for effect in self.session.handle(event, self.now_ms):
            match effect:
                case fx.Dial(number):
                    self.dials_ms.append(self.now_ms)
                    self._answer_dial(number)
                case fx.Transmit(number, data):
                    self._answer(number, data)
                case fx.HangUp(number):
                    self.open.discard(number)
                case ConnectionChanged(status=ConnectionStatus.ONLINE):
                    self.online_ms.append(self.now_ms)
                case _:
                    pass

    def run_until(self, end_ms: int) -> None:
        while True:
            self._due.sort(key=lambda due: due[0])
            at_ms = self._due[0][0] if self._due else end_ms + 1
            tick_ms = self.session.next_deadline_ms()
            if tick_ms is not None and tick_ms < at_ms and tick_ms <= end_ms:
                self.now_ms = max(self.now_ms, tick_ms)
                self.feed(ev.Tick())
            elif at_ms <= end_ms:
                self.now_ms, event = self._due.pop(0)
                self.feed(event)
            else:
                self.now_ms = end_ms
                return

    def _later(self, *events: ev.AnyEvent) -> None:
        self._due += [(self.now_ms + ROUND_TRIP_MS, event) for event in events]

    def _answer_dial(self, number: int) -> None:
        behaviour = self.behaviour(self.now_ms)
        if behaviour == REFUSED:
            self._later(ev.Disconnected(number, "refused"))
            return
        self.open.add(number)
        self._later(ev.Connected(number))
        if behaviour == HEALTHY:
            self._later(ev.BytesReceived(number, WELCOME))
        elif behaviour == BUSY:
            self._later(ev.BytesReceived(number, WELCOME + BUSY_ERROR))
        if behaviour in (BUSY, CLOSES):
            self._later(ev.Disconnected(number, "closed"))

    def _answer(self, number: int, data: bytes) -> None:
        if self.behaviour(self.now_ms) == HEALTHY and (b'"login"' in data or b'"resume"' in data):
            re = int(data.split(b'"id":')[1].split(b",")[0])
            reply = wire.LoggedInReply(
                re=re, user=ANN, token="0" * 64, friends=(), groups=(), requests=()
            )
            self._later(ev.BytesReceived(number, encode(reply)))


@given(
    st.integers(0, 2**32),
    st.integers(0, 300_000),
    st.sampled_from([REFUSED, CLOSES, BUSY]),
)
def test_a_client_is_online_soon_after_the_path_is_healthy(
    seed: int, outage_ms: int, failure: str
) -> None:
    """Within two seconds of an outage that was short, and within a tenth of one that was long."""
    healthy_ms = 10_000 + outage_ms
    path = Path(seed, lambda now_ms: failure if 10_000 <= now_ms < healthy_ms else HEALTHY)
    path.start()
    path.run_until(10_000)
    path.cut()
    path.run_until(healthy_ms + 60_000)
    took_ms = path.online_ms[1] - healthy_ms
    told_ms = 700 if failure == BUSY else 0
    assert took_ms <= max(2_000, min(outage_ms // 10, 10_000)) + told_ms + 3 * ROUND_TRIP_MS


@pytest.mark.parametrize("failure", [REFUSED, CLOSES, BUSY, SILENT])
@pytest.mark.parametrize("seed", range(25))
def test_no_server_is_dialled_in_a_fast_loop(failure: str, seed: int) -> None:
    path = Path(seed, lambda now_ms: failure if now_ms >= 10_000 else HEALTHY)
    path.start()
    path.run_until(10_000)
    path.cut()
    path.run_until(310_000)
    dials_ms = [at_ms - 10_000 for at_ms in path.dials_ms[1:]]
    assert len([at_ms for at_ms in dials_ms if at_ms < 5_000]) <= 14
    assert len([at_ms for at_ms in dials_ms if at_ms >= 200_000]) <= 60
    assert len(path.open) <= 1


def test_busy_is_not_asked_again_before_it_said() -> None:
    path = Path(1, lambda now_ms: BUSY if now_ms >= 10_000 else HEALTHY)
    path.start()
    path.run_until(10_000)
    path.cut()
    path.run_until(60_000)
    for before_ms, after_ms in zip(path.dials_ms[1:], path.dials_ms[2:], strict=False):
        assert after_ms - before_ms >= ROUND_TRIP_MS + 700


def test_clients_that_lose_their_node_at_once_spread_out() -> None:
    """10,000 clients: at no time are more than a seventh of them dialled within 50 ms, and the
    first second has them all."""
    dials: Counter[int] = Counter()
    for seed in range(10_000):
        path = Path(seed, lambda now_ms: HEALTHY)
        path.start()
        path.run_until(10_000)
        path.cut()
        path.run_until(11_100)
        assert len(path.online_ms) == 2
        dials.update((at_ms - 10_000) // 50 for at_ms in path.dials_ms[1:])
    assert dials.total() == 10_000
    assert max(dials.values()) <= 10_000 // 7


def test_a_server_that_accepts_and_is_silent_is_left() -> None:
    """As if a balancer had given the connection to a node that is stopped."""
    path = Path(1, lambda now_ms: SILENT if 10_000 <= now_ms < 12_000 else HEALTHY)
    path.start()
    path.run_until(10_000)
    path.cut()
    path.run_until(12_000)
    assert path.open == {2}
    path.run_until(path.dials_ms[1] + ROUND_TRIP_MS + TIMING.welcome_ms + TIMING.spread_ms + 200)
    assert path.session.online
    assert path.open == {3}


# ---------------------------------------------------------------------------- with real nodes


@pytest.fixture
def harness() -> ClientHarness:
    harness = ClientHarness(nodes=2)
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    return harness


def clients(harness: ClientHarness) -> tuple[Client, Client]:
    ann, bob = harness.client("ann", 0), harness.client("bob", 1)
    ann.log_in()
    bob.log_in()
    harness.pass_time(10_000)
    return ann, bob


def test_a_text_to_a_silent_node_goes_through_another_one(harness: ClientHarness) -> None:
    """Frozen, as by SIGSTOP: the connection stays, and nothing is heard."""
    ann, bob = clients(harness)
    assert ann.link is not None
    ann.link.frozen = True
    ann.node = 1
    ref = ann.chat("bob", "hi")
    harness.pass_time(4_000)
    assert len(ann.outcomes[ref]) == 1
    (conversation,) = bob.applied
    assert bob.texts(conversation) == ["hi"]
    assert len(harness.links) == 2


def test_a_node_that_waits_for_its_store_is_not_left(harness: ClientHarness) -> None:
    ann, _ = clients(harness)
    before = ann.link
    harness.hold_answers = lambda operation: True
    ann.chat("bob", "hi")
    harness.pass_time(15_000)
    assert ann.link is before
    harness.hold_answers = lambda operation: False
    harness.answer_held()
    harness.pass_time(1_000)
    assert ann.link is before
    assert ann.session.unsettled == 0
