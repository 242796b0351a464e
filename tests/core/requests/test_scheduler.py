"""Which requests are taken now, and which have to wait."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.requests.scheduler import REQUEST_BYTES
from chat.core.state.config import NodeConfig
from chat.core.state.session import Session
from chat.protocol.messages import PingRequest
from tests.core.node_harness import NodeHarness, NodeHost, Peer, ping

CONFIG = NodeConfig()
QUANTUM = 128
MANY = 4 * QUANTUM + 7
UNPACED = 1_000_000
"""A budget of lines that is not met."""
requests = st.sampled_from(
    [
        b"",
        b"hello",
        b"{}",
        b'{"type":"sing","id":1}',
        b'{"type":"ping","id":2}',
        b'{"type":"ping","id":3,"more":"%b"}' % (b"x" * 3_000),
    ]
)


@pytest.fixture
def harness() -> NodeHarness:
    harness = NodeHarness(request_quantum=QUANTUM, line_burst=UNPACED)
    harness.register("ann", "bob")
    return harness


def pings(count: int, first: int = 0) -> bytes:
    return b"".join(ping(id) for id in range(first, first + count))


def pongs(peer: Peer) -> list[int]:
    return [line["re"] for line in peer.got if line["type"] == "pong"]


def most_effects(host: NodeHost) -> int:
    return max(len(effects) for _, _, effects in host.log)


def one_turn(harness: NodeHarness) -> None:
    harness.nodes[0].feed(ev.Tick())
    harness.run()


@given(st.lists(requests, min_size=MANY, max_size=MANY + 300), st.integers(100, 100_000))
def test_however_much_is_asked_at_once_a_turn_is_short_and_all_is_answered(
    lines: list[bytes], step: int
) -> None:
    harness = NodeHarness(request_quantum=QUANTUM, line_burst=UNPACED)
    peer = harness.connect()
    data = b"".join(line + b"\n" for line in lines)
    for start in range(0, len(data), step):
        peer.write(data[start : start + step])
    harness.pass_time(0)
    assert most_effects(peer.node) <= QUANTUM + 2
    assert not peer.paused and not peer.closed
    assert len(peer.got) == 1 + len([line for line in lines if line])


def test_long_lines_make_a_turn_sooner_and_are_not_read_on(harness: NodeHarness) -> None:
    peer = harness.connect()
    line = b'{"type":"ping","id":1,"more":"%b"}\n' % (b"x" * 10 * REQUEST_BYTES)
    count = 4 * CONFIG.line_bytes // len(line)
    peer.write(line * count)
    harness.run()
    assert len(pongs(peer)) <= QUANTUM // 10
    assert peer.paused
    harness.pass_time(0)
    assert len(pongs(peer)) == count
    assert not peer.paused


def test_those_who_ask_much_have_turns_one_after_the_other(harness: NodeHarness) -> None:
    ann, bob, eve = harness.login("ann"), harness.login("bob"), harness.connect()
    for peer in (ann, bob):
        peer.write(pings(MANY))
    harness.run()
    while len(pongs(ann)) + len(pongs(bob)) < 2 * MANY:
        before = len(pongs(ann)) + len(pongs(bob))
        assert eve.call("ping")["type"] == "pong"
        one_turn(harness)
        assert 0 < len(pongs(ann)) + len(pongs(bob)) - before <= QUANTUM
        assert abs(len(pongs(ann)) - len(pongs(bob))) <= QUANTUM
    assert pongs(ann) == pongs(bob) == list(range(MANY))
    assert "deferred connections" not in ann.node.node.resource_counts()


def test_what_comes_while_one_rests_comes_after_it(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    ann.write(pings(QUANTUM + 1))
    ann.write(pings(1, QUANTUM + 1))
    harness.run()
    assert pongs(ann) == list(range(QUANTUM))
    one_turn(harness)
    assert pongs(ann) == list(range(QUANTUM + 2))


def test_those_who_waited_for_one_commit_go_on_in_turns(harness: NodeHarness) -> None:
    peers = [harness.login("ann") for _ in range(20)]
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    for peer in peers:
        peer.ask("profile")
        peer.write(pings(QUANTUM - 1))
    harness.run()
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    assert sum(len(pongs(peer)) for peer in peers) <= QUANTUM
    assert most_effects(harness.nodes[0]) <= QUANTUM + len(peers)
    harness.pass_time(0)
    assert all(pongs(peer) == list(range(QUANTUM - 1)) for peer in peers)


def test_a_turn_is_for_as_many_as_there_is_room_for(harness: NodeHarness) -> None:
    peers = [harness.login("ann") for _ in range(20)]
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    for peer in peers:
        peer.ask("profile")
        peer.write(pings(10))
    harness.run()
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    assert sum(len(pongs(peer)) for peer in peers) == QUANTUM
    one_turn(harness)
    assert all(pongs(peer) == list(range(10)) for peer in peers)


def test_whoever_does_not_read_is_answered_no_more_until_he_does(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    ann.write(pings(MANY))
    harness.run()
    ann.node.feed(ev.WriteBufferFull(ann.connection))
    harness.pass_time(1_000)
    assert pongs(ann) == list(range(QUANTUM))
    assert ann.paused
    ann.node.feed(ev.WriteBufferDrained(ann.connection, 0))
    harness.pass_time(0)
    assert pongs(ann) == list(range(MANY))
    assert not ann.paused


@pytest.mark.parametrize("how", ["gone", "drained"])
def test_an_end_while_one_rests(harness: NodeHarness, how: str) -> None:
    ann, bob = harness.login("ann"), harness.login("bob")
    for peer in (ann, bob):
        peer.write(pings(MANY))
    harness.run()
    if how == "gone":
        ann.hang_up()
        harness.pass_time(0)
        assert pongs(bob) == list(range(MANY))
    else:
        ann.node.feed(ev.Drain(0))
        harness.pass_time(0)
        assert ann.closed and bob.closed
    assert len(pongs(ann)) == QUANTUM


def test_those_who_are_gone_take_no_turns(harness: NodeHarness) -> None:
    for _ in range(50):
        peer = harness.connect()
        peer.write(pings(QUANTUM + 1))
        harness.run()
        peer.hang_up()
        harness.run()
    assert "deferred connections" not in harness.nodes[0].node.resource_counts()
    ann = harness.login("ann")
    ann.write(pings(QUANTUM + 1))
    harness.run()
    one_turn(harness)
    assert len(pongs(ann)) == QUANTUM + 1


def test_a_bug_in_a_turn_costs_the_connection_and_takes_nothing_from_others(
    harness: NodeHarness,
) -> None:
    ann, bob = harness.login("ann"), harness.login("bob")
    node = ann.node.node
    take = node._scheduler._handlers[PingRequest]

    def faulty(session: Session, request: PingRequest) -> None:
        if session.connection == ann.connection and request.id == MANY - 1:
            raise RuntimeError("a bug")
        take[1](session, request)

    bugs: list[Exception] = []
    with patch.dict(node._scheduler._handlers, {PingRequest: (take[0], faulty, 0)}):
        for peer in (ann, bob):
            peer.write(pings(MANY))
        harness.run()
        while "deferred connections" in node.resource_counts():
            bugs += ann.node.handle(ev.Tick())
        harness.run()
    assert len(bugs) == 1
    assert ann.closed and not bob.closed
    assert pongs(ann) == list(range(MANY - 1))
    assert pongs(bob) == list(range(MANY))


def test_who_logs_out_and_in_again_at_once_is_counted_in_between(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    ann.ask("logout")
    ann.ask("login", user="ann", password="secret-ann")
    harness.run()
    assert [line["type"] for line in ann.got[-2:]] == ["done", "logged_in"]


# ---------------------------------------------------------------------- pacing


def test_lines_over_the_budget_of_a_connection_are_taken_later_and_none_is_refused() -> None:
    harness = NodeHarness(line_burst=10, lines_per_second=20)
    peer = harness.connect()
    peer.write(pings(15))
    harness.run()
    assert pongs(peer) == list(range(10))
    for wanted in range(11, 16):
        harness.pass_time(49)
        assert len(pongs(peer)) == wanted - 1
        harness.pass_time(1)
        assert len(pongs(peer)) == wanted
    assert not peer.closed


def test_each_kib_counts_as_a_line() -> None:
    harness = NodeHarness(line_burst=10, lines_per_second=20)
    peer = harness.connect()
    line = b'{"type":"ping","id":1,"more":"%b"}\n' % (b"x" * 3_072)
    peer.write(line * 3)
    harness.run()
    assert len(pongs(peer)) == 1, "that is nine lines, and one"
    for wanted in (2, 3):
        harness.pass_time(49)
        assert len(pongs(peer)) == wanted - 1
        harness.pass_time(1)
        assert len(pongs(peer)) == wanted


@pytest.mark.parametrize(
    "bad", [b"no frame\n", b'{"type":"sing","id":1}\n', b'{"type":"logout","id":1}\n']
)
def test_an_error_counts_as_twenty_lines(bad: bytes) -> None:
    harness = NodeHarness(line_burst=25, lines_per_second=20)
    peer = harness.connect()
    peer.write(bad + pings(6))
    harness.run()
    assert len(pongs(peer)) == 4
    harness.pass_time(50)
    assert len(pongs(peer)) == 5


def test_a_paced_peer_that_goes_on_writing_is_not_read_from() -> None:
    harness = NodeHarness(line_burst=10, lines_per_second=20)
    peer = harness.connect()
    peer.write(pings(11) + b"x" * 2 * CONFIG.line_bytes)
    harness.run()
    assert peer.paused
    peer.hang_up()
    harness.run()
    harness.pass_time(10_000)
    assert not harness.nodes[0].node.resource_counts()


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 15)), max_size=12))
def test_lines_are_taken_no_faster_than_the_budget_and_no_later(
    story: list[tuple[int, int]],
) -> None:
    """After each pause some lines come. Line n is taken when a bucket of ten lines, which gets one
    every 50 ms, has one for it; so it is known when the last one is taken."""
    harness = NodeHarness(line_burst=10, lines_per_second=20, login_ms=100_000)
    peer = harness.connect()
    start_ms, count = harness.now_ms, 0
    full_at_ms = taken_ms = start_ms
    for pause_ms, lines in story:
        harness.pass_time(pause_ms)
        for _ in range(lines):
            full_at_ms = max(full_at_ms, taken_ms, harness.now_ms) + 50
            taken_ms = max(harness.now_ms, full_at_ms - 10 * 50)
        peer.write(pings(lines, count))
        harness.run()
        count += lines
        assert len(pongs(peer)) <= 10 + (harness.now_ms - start_ms) / 50
        assert (len(pongs(peer)) == count) == (taken_ms <= harness.now_ms)
    if taken_ms > harness.now_ms:
        harness.pass_time(taken_ms - harness.now_ms - 1)
        assert len(pongs(peer)) == count - 1
        harness.pass_time(1)
    harness.pass_time(0)
    assert pongs(peer) == list(range(count))


def test_a_connection_that_is_paced_keeps_no_other_one_waiting() -> None:
    harness = NodeHarness(line_burst=10, lines_per_second=20)
    flood, ann = harness.connect(), harness.connect()
    flood.write(pings(30))
    harness.run()
    assert ann.call("ping")["type"] == "pong"
    assert len(pongs(flood)) == 10


@pytest.mark.parametrize("how", ["gone", "drained", "end of input"])
def test_an_end_while_a_connection_is_paced(how: str) -> None:
    harness = NodeHarness(line_burst=10, lines_per_second=20)
    peer = harness.connect()
    peer.write(pings(12))
    harness.run()
    if how == "gone":
        peer.hang_up()
    elif how == "drained":
        peer.node.feed(ev.Drain(0))
    else:
        peer.node.feed(ev.EndOfInput(peer.connection))
    harness.run()
    harness.pass_time(1_000)
    assert len(pongs(peer)) == (12 if how == "end of input" else 10)
    assert not peer.open
    assert not harness.nodes[0].node.resource_counts()
