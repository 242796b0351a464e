"""A peer that waits for a reply hears from its node."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports.events import WriteBufferFull
from chat.core.state.config import NodeConfig
from tests.core.node_harness import NodeHarness, Peer

REPLY_PING_MS = NodeConfig("").reply_ping_ms


@pytest.fixture
def harness() -> NodeHarness:
    harness = NodeHarness()
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    return harness


def ping_times(harness: NodeHarness, peer: Peer, ms: int) -> list[int]:
    """When the peer is sent pings, from now on."""
    start_ms = harness.now_ms
    times = []
    while harness.now_ms < start_ms + ms:
        peer.forget()
        harness.pass_time(50)
        times += [harness.now_ms - start_ms] * len(peer.pushes("ping"))
    return times


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("chat", {"to": "bob", "text": "hi", "key": "1"}),
        ("profile", {}),
        ("ping", {}),
    ],
)
def test_a_peer_whose_reply_is_delayed_is_pinged_again_and_again(
    harness: NodeHarness, type: str, fields: dict[str, object]
) -> None:
    """A ping, too, since it waits for the reply to an earlier request."""
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: True
    ann.ask("profile")
    number = ann.ask(type, **fields)
    harness.run()
    times = ping_times(harness, ann, 10_000)
    assert all(after - before <= REPLY_PING_MS + 50 for before, after in pairwise([0, *times]))
    assert 10 <= len(times) <= 20
    harness.hold_answers = lambda operation: False
    harness.answer_held()
    harness.run()
    assert number in [line.get("re") for line in ann.got]
    assert ping_times(harness, ann, 5_000) == []


@given(st.lists(st.sampled_from([10, 100, 400]), max_size=30))
def test_a_peer_that_is_answered_soon_is_not_pinged(waits_ms: list[int]) -> None:
    """However many sends are under way."""
    harness = NodeHarness()
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: True
    for number, wait_ms in enumerate(waits_ms):
        ann.ask("chat", to="bob", text="hi", key=f"{number}")
        harness.run()
        harness.pass_time(wait_ms)
        harness.answer_held()
        harness.run()
    assert ann.pushes("ping") == []


def test_a_peer_with_nothing_under_way_is_not_looked_at(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    ann.call("profile")
    harness.pass_time(2 * REPLY_PING_MS)
    deadline_ms = harness.nodes[0].node.next_deadline_ms()
    assert deadline_ms is None or deadline_ms >= harness.now_ms + REPLY_PING_MS


def test_a_peer_that_does_not_read_is_not_sent_more(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: True
    ann.ask("profile")
    harness.run()
    ann.node.feed(WriteBufferFull(ann.connection))
    assert ping_times(harness, ann, 10_000) == []
