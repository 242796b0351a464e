"""A peer that has shut its side down is answered what it asked, and then closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.state.config import NodeConfig
from chat.core.upkeep.timers import CHECK_EVERY_MS
from tests.core.node_harness import NodeHarness, Peer, ping

CONFIG = NodeConfig()


@pytest.fixture
def harness() -> NodeHarness:
    harness = NodeHarness()
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    return harness


def shut_down(peer: Peer) -> None:
    peer.node.feed(ev.EndOfInput(peer.connection))


def test_a_peer_that_asked_nothing_is_closed_at_once(harness: NodeHarness) -> None:
    for peer in (harness.connect(), harness.login("ann")):
        shut_down(peer)
        harness.run()
        assert peer.closed


@given(count=st.integers(0, 300), chats=st.integers(0, 30))
def test_all_that_was_asked_is_answered_first(count: int, chats: int) -> None:
    harness = NodeHarness()
    harness.register("ann", "bob")
    harness.friends("ann", "bob")
    ann = harness.login("ann")
    ann.forget()
    ids = [ann.ask("chat", to="bob", text="hello", key=str(number)) for number in range(chats)]
    ann.write(b"".join(ping(1_000 + number) for number in range(count)) + b'{"type":"pi')
    shut_down(ann)
    harness.pass_time(100)
    assert [line["re"] for line in ann.got] == [*ids, *range(1_000, 1_000 + count)]
    assert ann.closed


def test_a_login_is_decided_before_the_connection_is_closed(harness: NodeHarness) -> None:
    peer = harness.connect()
    peer.ask("login", user="ann", password="secret-ann")
    shut_down(peer)
    harness.run()
    assert peer.pushes("logged_in")
    assert peer.closed


def test_an_answer_that_does_not_come_in_time_is_not_waited_for(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    ann.ask("profile")
    shut_down(ann)
    harness.pass_time(CONFIG.finish_ms - 1)
    assert not ann.closed
    harness.pass_time(1 + 2 * CHECK_EVERY_MS)
    assert ann.closed
    harness.answer_held()


def test_an_end_that_is_reported_again_gives_no_more_time(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    ann.ask("profile")
    for _ in range(2):
        shut_down(ann)
        harness.pass_time(CONFIG.finish_ms // 2)
    harness.pass_time(2 * CHECK_EVERY_MS)
    assert ann.closed
    harness.answer_held()


def test_entries_go_on_until_the_connection_is_closed(harness: NodeHarness) -> None:
    ann, bob = harness.login("ann"), harness.login("bob")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    ann.ask("profile")
    shut_down(ann)
    bob.call("chat", to="ann", text="are you there", key="b1")
    assert [message["text"] for message in ann.pushes("message")] == ["are you there"]
    harness.answer_held()
    assert ann.pushes("profile")
    assert ann.closed


def test_a_drain_does_not_keep_the_connection_longer(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    ann.ask("profile")
    shut_down(ann)
    ann.node.feed(ev.Drain(100))
    harness.run()
    assert not ann.closed
    harness.answer_held()
    assert ann.pushes("profile") and ann.closed
