"""The connection by itself: its deadlines in each phase, and the backoff."""

import pytest

from chat.client.session.connection import Connection, Due, Phase, Timing
from chat.protocol.messages import Limits

LIMITS = Limits(
    login_line_bytes=1_000,
    line_bytes=2_000,
    in_flight=3,
    sends_per_second=20,
    send_burst=40,
    ping_ms=5_000,
    dead_ms=9_000,
)


def a_connection(jitter: float = 0.5) -> Connection:
    return Connection(Timing(), lambda: jitter)


def online(connection: Connection, now_ms: int) -> None:
    connection.dial(now_ms)
    connection.enter(Phase.GREETING, now_ms)
    connection.welcomed(LIMITS, now_ms)
    connection.enter(Phase.ONLINE, now_ms)
    connection.heard(now_ms)


@pytest.mark.parametrize(
    ("phase", "wait_ms"),
    [(Phase.DIALING, 10_000), (Phase.GREETING, 10_000), (Phase.AUTHENTICATING, 15_000)],
)
def test_a_phase_that_takes_too_long_is_given_up(phase: Phase, wait_ms: int) -> None:
    connection = a_connection()
    connection.dial(0)
    connection.enter(phase, 100)
    assert connection.due(99 + wait_ms) is Due.NOTHING
    assert connection.due(100 + wait_ms) is Due.GIVE_UP


def test_a_silent_node_is_pinged_and_then_given_up() -> None:
    """The limits of `welcome` hold: a ping after 5 s, and 4 s for the answer."""
    connection = a_connection()
    online(connection, 0)
    assert connection.due(4_999) is Due.NOTHING
    assert connection.due(5_000) is Due.PING
    connection.pinged(5_000)
    assert connection.due(8_999) is Due.NOTHING
    assert connection.due(9_000) is Due.GIVE_UP
    connection.heard(8_999)
    assert connection.due(9_000) is Due.NOTHING


def test_the_backoff_doubles_to_a_bound_and_starts_anew_after_a_stable_connection() -> None:
    connection = a_connection()
    waits = []
    for _ in range(8):
        connection.dial(0)
        waits.append(connection.lose(0))
    assert waits == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    online(connection, 0)
    assert connection.lose(4_999) == 5_000
    online(connection, 0)
    assert connection.lose(5_000) == 100


def test_a_draining_node_is_not_dialled_before_it_said() -> None:
    connection = a_connection(jitter=0.0)
    online(connection, 0)
    connection.draining(3_000, 100)
    assert connection.lose(200) == 2_900
    assert connection.due(3_099) is Due.NOTHING
    assert connection.due(3_100) is Due.DIAL
    online(connection, 4_000)
    assert connection.lose(4_100) == 0


def test_events_of_an_older_connection_are_told_apart() -> None:
    connection = a_connection()
    first = connection.dial(0)
    connection.lose(0)
    assert not connection.is_current(first)
    second = connection.dial(0)
    assert connection.is_current(second)
    assert not connection.is_current(first)
    assert not connection.is_open
    connection.close(0)
    assert not connection.is_current(second)
    assert connection.next_deadline_ms() is None
