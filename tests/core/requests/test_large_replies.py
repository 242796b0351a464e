"""Replies with many rows are made one at a time, with pauses, and in turns by user."""

import pytest

from chat.core.ports import operations as op
from chat.core.state.operation_queues import UNDER_WAY_LIMITS
from tests.core.node_harness import NodeHarness, Peer

ROWS = 2 * UNDER_WAY_LIMITS.large_rows
PAUSE_MS = ROWS // UNDER_WAY_LIMITS.rows_per_ms


@pytest.fixture
def harness() -> NodeHarness:
    """Ann has a long conversation with herself in a group, and Bob another one."""
    harness = NodeHarness(cost_burst=10_000, send_burst=10_000, connections_per_user=100)
    harness.register("ann", "bob")
    for name in ("ann", "bob"):
        peer = harness.login(name)
        group = peer.call("create_group", name="den")["group"]["id"]
        for number in range(ROWS):
            peer.call("group_chat", group=group, text="x", key=f"k{number}")
        peer.call("mark_read", conversation=group, seq=ROWS + 1)
        peer.hang_up()
    harness.pass_time(10_000)
    return harness


def pages(peer: Peer) -> int:
    return len([line for line in peer.got if line["type"] == "entries"])


def ask(peer: Peer, group: int, limit: int) -> None:
    peer.ask("history", conversation=group, limit=limit)


def test_large_replies_are_made_one_at_a_time(harness: NodeHarness) -> None:
    anns = [harness.login("ann") for _ in range(5)]
    for peer in anns:
        ask(peer, 1, ROWS)
    harness.run()
    for made in range(1, 6):
        assert sum(map(pages, anns)) == made
        harness.pass_time(PAUSE_MS - 1)
        assert sum(map(pages, anns)) == made
        harness.pass_time(1)
    assert "large replies that wait" not in anns[0].node.node.resource_counts()


def test_another_user_is_next(harness: NodeHarness) -> None:
    anns, bob = [harness.login("ann") for _ in range(5)], harness.login("bob")
    for peer in anns:
        ask(peer, 1, ROWS)
    ask(bob, 2, ROWS)
    harness.run()
    harness.pass_time(2 * PAUSE_MS)
    assert pages(bob) == 1
    assert sum(map(pages, anns)) == 2


def test_small_replies_do_not_wait(harness: NodeHarness) -> None:
    anns = [harness.login("ann") for _ in range(5)]
    for peer in anns[:3]:
        ask(peer, 1, ROWS)
    for peer in anns[3:]:
        peer.ask("members", group=1)
    harness.run()
    assert [len(peer.pushes("members")) for peer in anns[3:]] == [1, 1]


def test_a_page_waits_for_one_that_was_larger_than_expected(harness: NodeHarness) -> None:
    anns = [harness.login("ann") for _ in range(2)]
    for number in range(20):
        anns[0].call("group_chat", group=1, text="x" * 4_000, key=f"long-{number}")
    for peer in anns:
        ask(peer, 1, 20)
    harness.run()
    pause_ms = 20 * (1 + 4_000 // 200) // UNDER_WAY_LIMITS.rows_per_ms
    harness.pass_time(pause_ms - 1)
    assert sum(map(pages, anns)) == 1
    harness.pass_time(1)
    assert sum(map(pages, anns)) == 2


def test_one_that_has_ended_takes_its_turn_and_nothing_else(harness: NodeHarness) -> None:
    anns = [harness.login("ann") for _ in range(3)]
    for peer in anns:
        ask(peer, 1, ROWS)
    harness.run()
    anns[1].hang_up()
    harness.pass_time(2 * PAUSE_MS)
    assert [pages(peer) for peer in anns] == [1, 0, 1]
    assert "large replies that wait" not in anns[0].node.node.resource_counts()


def test_a_roster_at_a_login_is_a_large_reply(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    for number in range(UNDER_WAY_LIMITS.large_rows):
        ann.call("create_group", name=f"den {number}")
    peers = [harness.connect() for _ in range(3)]
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    for peer in peers:
        peer.ask("login", user="ann", password="secret-ann")
        harness.run()
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    for ready in range(1, 4):
        assert len([peer for peer in peers if peer.got[-1]["type"] != "welcome"]) == ready
        harness.pass_time(1)
