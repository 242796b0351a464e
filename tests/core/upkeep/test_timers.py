"""When sessions are looked at."""

from chat.core.node import Node
from chat.core.ports.events import (
    BytesReceived,
    ConnectionOpened,
    Tick,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.state.config import NodeConfig
from chat.core.upkeep.timers import CHECK_EVERY_MS
from chat.protocol.rules import State
from tests.core.node_harness import NodeHarness, Peer

CONFIG = NodeConfig("")


def pinged_and_full(harness: NodeHarness) -> Peer:
    """Bob is silent, and pinged; before his answer comes his buffer is full, so that he is not read
    from."""
    harness.register("bob")
    bob = harness.login("bob")
    harness.pass_time(CONFIG.ping_ms + 2 * CHECK_EVERY_MS)
    assert len(bob.pushes("ping")) == 1
    bob.node.feed(WriteBufferFull(bob.connection))
    harness.run()
    assert bob.paused
    return bob


def test_a_slow_reader_who_was_pinged_stays_as_long_as_something_is_taken() -> None:
    harness = NodeHarness()
    bob = pinged_and_full(harness)
    for left_bytes in range(900_000, 800_000, -10_000):
        harness.pass_time(CONFIG.stall_ms - 1)
        bob.node.feed(WriteBufferDrained(bob.connection, left_bytes))
        harness.run()
    assert not bob.closed


def test_a_reader_who_was_pinged_and_takes_nothing_is_closed() -> None:
    harness = NodeHarness()
    bob = pinged_and_full(harness)
    harness.pass_time(CONFIG.stall_ms - 1)
    assert not bob.closed
    harness.pass_time(1 + 2 * CHECK_EVERY_MS)
    assert bob.closed


def test_the_silent_are_pinged_and_then_closed_all_at_once() -> None:
    harness = NodeHarness(connections_per_user=100, cost_burst=1_000, login_burst=200)
    harness.register("ann")
    peers = [harness.login("ann") for _ in range(100)]
    harness.pass_time(CONFIG.ping_ms - 1)
    assert not any(peer.pushes("ping") for peer in peers)
    harness.pass_time(1 + CHECK_EVERY_MS)
    assert all(len(peer.pushes("ping")) == 1 for peer in peers)
    for peer in peers[::2]:
        assert peer.call("ping")["type"] == "pong"
    harness.pass_time(CONFIG.dead_ms - CONFIG.ping_ms + CHECK_EVERY_MS)
    assert [peer.closed for peer in peers] == [False, True] * 50


def test_an_empty_line_answers_a_ping_and_is_not_answered() -> None:
    harness = NodeHarness()
    harness.register("ann")
    ann = harness.login("ann")
    for count in range(1, 5):
        harness.pass_time(CONFIG.ping_ms + 2 * CHECK_EVERY_MS)
        assert len(ann.pushes("ping")) == count
        ann.write(b"\n")
    harness.pass_time(CONFIG.dead_ms - CONFIG.ping_ms)
    assert not ann.closed
    assert {line["type"] for line in ann.got[2:]} == {"ping"}


def test_who_is_being_closed_does_not_count_as_not_logged_in() -> None:
    node = Node(NodeConfig(unauthenticated_per_address=3))
    now_ms = 1_000_000
    for connection in (1, 2, 3):
        node.handle(ConnectionOpened(connection, "10.0.0.1"), now_ms)
        node.handle(BytesReceived(connection, b"x" * (CONFIG.login_line_bytes + 1)), now_ms)
    while (due_ms := node.next_deadline_ms()) is not None and due_ms < now_ms + CONFIG.dead_ms:
        node.handle(Tick(), due_ms)
    assert node.resource_counts() == {"sessions": 3}
    node.handle(ConnectionOpened(4, "10.0.0.1"), now_ms + CONFIG.dead_ms)
    newcomer = node.session(4)
    assert newcomer is not None and newcomer.state is State.ANONYMOUS
