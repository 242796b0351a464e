"""The connection by itself: its deadlines in each phase, and the backoff."""

import pytest
from msgspec.structs import replace

from chat.client.session.connection import Connection, Due, Phase, Timing
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import ErrorReply, Limits

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


def online(connection: Connection, now_ms: int, limits: Limits = LIMITS) -> None:
    connection.dial(now_ms)
    connection.enter(Phase.GREETING, now_ms)
    connection.welcomed(limits, now_ms)
    connection.enter(Phase.ONLINE, now_ms)
    connection.heard(now_ms)


@pytest.mark.parametrize(
    ("phase", "wait_ms"),
    [(Phase.DIALING, 3_000), (Phase.GREETING, 2_000), (Phase.AUTHENTICATING, 15_000)],
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


@pytest.mark.parametrize(
    ("phase", "waits_ms"),
    [
        (Phase.DIALING, [3_000, 6_000, 10_000, 10_000]),
        (Phase.GREETING, [2_000, 4_000, 8_000, 10_000]),
    ],
)
def test_patience_doubles_with_every_failed_dial_and_starts_anew_after_a_stable_connection(
    phase: Phase, waits_ms: list[int]
) -> None:
    connection = a_connection()

    def wait_ms() -> int:
        connection.dial(0)
        connection.enter(phase, 0)
        deadline_ms = connection.next_deadline_ms()
        assert deadline_ms is not None
        return deadline_ms

    for expected_ms in waits_ms:
        assert wait_ms() == expected_ms
        connection.lose(0)
    online(connection, 0)
    connection.lose(4_999)
    assert wait_ms() == 10_000
    online(connection, 0)
    connection.lose(5_000)
    assert wait_ms() == waits_ms[0]


def test_the_backoff_doubles_to_a_bound_and_starts_anew_after_a_stable_connection() -> None:
    connection = a_connection()
    waits = []
    for _ in range(8):
        connection.dial(0)
        waits.append(connection.lose(0))
    assert waits == [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]
    online(connection, 0)
    assert connection.lose(4_999) == 1_000
    online(connection, 0)
    assert connection.lose(5_000) == 250


def test_the_bound_of_the_backoff_grows_with_the_outage() -> None:
    connection = a_connection()
    for _ in range(5):
        connection.dial(1_000)
        connection.lose(1_000)
    waits = []
    for outage_ms in (19_000, 20_000, 60_000, 100_000, 1_000_000):
        connection.dial(1_000 + outage_ms)
        waits.append(connection.lose(1_000 + outage_ms))
    assert waits == [1_000, 1_000, 3_000, 5_000, 5_000]
    online(connection, 2_000_000)
    assert connection.lose(2_005_000) == 250
    connection.dial(2_005_000)
    assert connection.lose(2_005_000) == 250
    connection.dial(2_005_000)
    assert connection.lose(2_005_000) == 400


def test_a_node_that_promises_pings_and_is_silent_is_given_up_while_a_reply_is_awaited() -> None:
    connection = a_connection()
    online(connection, 0, replace(LIMITS, reply_ping_ms=1_000))
    assert connection.reply_overdue_at_ms(None) is None
    assert connection.reply_overdue_at_ms(3_000) == 5_500
    connection.heard(4_000)
    assert connection.reply_overdue_at_ms(3_000) == 6_500
    connection.heard(60_000)
    assert connection.reply_overdue_at_ms(43_000) == 62_500
    assert connection.reply_overdue_at_ms(42_000) == 62_000, "without a reply for 20 s"


def test_a_connection_that_was_given_up_for_silence_was_not_stable() -> None:
    """On a path that is slower than was thought, more patience is needed the next time."""
    connection = a_connection()
    limits = replace(LIMITS, reply_ping_ms=1_000)
    waits = []
    for _ in range(4):
        online(connection, 0, limits)
        waits.append(connection.reply_overdue_at_ms(0))
        connection.lose(6_000, silent=True)
    assert waits == [2_500, 5_000, 10_000, 10_000]


def test_a_node_that_does_not_promise_pings_has_the_time_of_a_reply() -> None:
    connection = a_connection()
    online(connection, 0)
    assert connection.reply_overdue_at_ms(3_000) == 23_000


def test_a_draining_node_is_not_dialled_before_it_said() -> None:
    connection = a_connection(jitter=0.0)
    online(connection, 0)
    connection.wait(3_000, 100)
    assert connection.lose(200) == 2_900
    assert connection.due(3_099) is Due.NOTHING
    assert connection.due(3_100) is Due.DIAL
    online(connection, 4_000)
    assert connection.lose(4_100) == 0


def test_no_wait_that_a_node_asks_for_is_longer_than_minutes() -> None:
    connection = a_connection(jitter=0.0)
    forever_ms = 10**15
    online(connection, 0, replace(LIMITS, ping_ms=forever_ms, dead_ms=2 * forever_ms))
    assert connection.due(60_000) is Due.PING
    error = ErrorReply(code=ErrorCode.BUSY, message="", retry_after_ms=forever_ms)
    assert connection.retry_at_ms(error, 100) == 300_100
    connection.wait(forever_ms, 100)
    assert connection.lose(100) == 60_000


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
