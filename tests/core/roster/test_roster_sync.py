"""Rosters follow the changes that transactions answer with, and are read over a gap."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import chat.core
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.bus_messages import RosterBusMessage
from chat.storage.backends.connection import in_transaction
from chat.storage.dispatch import execute
from chat.storage.transactions import accounts, friendships, groups
from tests.core.node_harness import UNAVAILABLE, Line, NodeHarness, NodeHost, Peer

CORE = str(Path(chat.core.__file__).parent)
FEW, MANY, FREE = 5, 500, 10_000


@pytest.fixture
def harness() -> NodeHarness:
    return NodeHarness(nodes=2)


def reads(harness: NodeHarness) -> int:
    """How many rosters were read since the logs were cleared."""
    return sum(
        isinstance(effect, fx.Query) and isinstance(effect.operation, op.ReadRoster)
        for node in harness.nodes
        for _, _, effects in node.log
        for effect in effects
    )


def clear(harness: NodeHarness, *peers: Peer) -> None:
    for node in harness.nodes:
        node.log.clear()
    for peer in peers:
        peer.forget()


def miss_change(harness: NodeHarness, change: Callable[[], object]) -> None:
    """The roster changes, and the bus loses the news; so the next change finds a gap."""
    harness.lose_messages = lambda channel: channel.startswith("u:")
    change()
    harness.lose_messages = lambda channel: False


def roster_messages(host: NodeHost) -> list[ev.BusMessageReceived]:
    """The changes of rosters that have come to a node over the bus."""
    return [
        event
        for event, _, _ in host.log
        if isinstance(event, ev.BusMessageReceived) and isinstance(event.message, RosterBusMessage)
    ]


def types(lines: list[Line]) -> list[str]:
    return [line["type"] for line in lines]


# ------------------------------------------------------------------ changes that come in order


def test_no_roster_is_read_while_changes_come_in_order(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    other_ann, other_bob = harness.login("ann", 1), harness.login("bob", 0)
    peers = ann, bob, other_ann, other_bob
    clear(harness, *peers)
    ann.call("add_friend", user="bob")
    for peer in (bob, other_bob):
        assert [push["user"]["name"] for push in peer.pushes("friend_request")] == ["ann"]
    bob.call("add_friend", user="ann")
    for peer in peers:
        assert len(peer.pushes("friend")) == 1
    group = ann.call("create_group", name="den")["group"]["id"]
    bob.call("join_group", group=group)
    ann.call("rename_group", group=group, name="lair")
    for peer in peers:
        assert peer.pushes("group")[-1]["group"]["name"] == "lair"
    ann.call("leave_group", group=group)
    for peer in (bob, other_bob):
        assert peer.pushes("group")[-1]["group"]["role"] == "owner"
    bob.call("delete_group", group=group)
    for peer in peers:
        assert len(peer.pushes("group_deleted")) == 1
    ann.call("remove_friend", user="bob")
    for peer in peers:
        assert len(peer.pushes("friend_removed")) == 1
    assert reads(harness) == 0
    users = [node.node._context.users for node in harness.nodes]
    for id in users[0]:
        stored = execute(harness.store, op.ReadRoster(id))
        assert isinstance(stored, op.RosterRead)
        for here in users:
            assert here[id].version == stored.roster.version
            assert (here[id].friends, here[id].groups, here[id].requests) == ({}, {}, {})


def test_a_change_that_comes_again_or_late_is_ignored(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    clear(harness)
    bob.call("add_friend", user="ann")
    bob.call("remove_friend", user="ann")
    asked, removed = roster_messages(harness.nodes[0])
    clear(harness, ann)
    for event in (asked, removed, asked, asked):
        harness.nodes[0].feed(event)
    harness.run()
    assert not ann.got
    assert reads(harness) == 0
    assert ann.call("snapshot")["requests"] == []


# ------------------------------------------------------------------ gaps


def test_over_a_gap_the_roster_is_read(harness: NodeHarness) -> None:
    harness.register("ann", "bob", "cyd")
    ann, bob, cyd = harness.login("ann", 0), harness.login("bob", 1), harness.login("cyd", 1)
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    clear(harness, ann)
    cyd.call("add_friend", user="ann")
    assert reads(harness) == 1
    assert [push["user"]["name"] for push in ann.pushes("friend_request")] == ["bob", "cyd"]


def test_changes_in_the_wrong_order_come_to_the_same(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    clear(harness)
    bob.call("add_friend", user="ann")
    (asked,) = roster_messages(harness.nodes[0])
    ann.call("add_friend", user="bob")
    bob.call("remove_friend", user="ann")
    again = harness.login("ann", 0)
    removed = roster_messages(harness.nodes[0])[-1]
    clear(harness, ann, again)
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    miss_change(harness, lambda: bob.call("remove_friend", user="ann"))
    harness.nodes[0].feed(removed)
    harness.nodes[0].feed(asked)
    bob.call("add_friend", user="ann")
    for peer in (ann, again):
        assert [push["user"]["name"] for push in peer.pushes("friend_request")] == ["bob"]
        assert not peer.pushes("friend")


@pytest.mark.parametrize("request_type", ["create_group", "join_group"])
def test_a_group_is_told_before_the_reply_though_an_earlier_change_was_missed(
    harness: NodeHarness, request_type: str
) -> None:
    harness.register("ann", "bob")
    ann, there, bob = harness.login("ann", 0), harness.login("ann", 1), harness.login("bob", 1)
    group = bob.call("create_group", name="burrow")["group"]["id"]
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    clear(harness, ann, there, bob)
    if request_type == "create_group":
        group = ann.call("create_group", name="den")["group"]["id"]
    else:
        ann.call("join_group", group=group)
    reply = "group_created" if request_type == "create_group" else "joined"
    assert types(ann.got) == ["friend_request", "group", reply, "message"]
    assert ann.got[-1]["seq"] == ann.got[-2]["group"]["since"]
    assert [entry["kind"] for entry in there.pushes("message")] == ["joined"]
    ann.call("group_chat", group=group, text="hello", key="k")
    assert there.texts(group) == ["", "hello"]


@pytest.mark.parametrize("request_type", ["leave_group", "rename_group", "delete_group"])
def test_what_was_missed_is_told_before_a_group_request_is_done(
    harness: NodeHarness, request_type: str
) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="den")["group"]["id"]
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    clear(harness, ann)
    fields = {"name": "lair"} if request_type == "rename_group" else {}
    assert ann.call(request_type, group=group, **fields)["type"] == "done"
    told = types(ann.got)
    assert told.index("friend_request") < told.index("done") == len(told) - 1


def test_a_new_friend_is_told_before_the_reply_though_an_earlier_change_was_missed(
    harness: NodeHarness,
) -> None:
    harness.register("ann", "bob", "cyd")
    ann, bob, cyd = harness.login("ann", 0), harness.login("bob", 1), harness.login("cyd", 1)
    bob.call("add_friend", user="ann")
    miss_change(harness, lambda: cyd.call("add_friend", user="ann"))
    clear(harness, ann)
    ann.call("add_friend", user="bob")
    assert types(ann.got) == ["friend", "friend_request", "done", "presence"]


def test_a_group_is_made_though_the_roster_cannot_be_read(harness: NodeHarness) -> None:
    """The reply does not fail for it. The device is told of the group when the read succeeds."""
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    clear(harness, ann)
    harness.fail = lambda asked: UNAVAILABLE if isinstance(asked, op.ReadRoster) else None
    created = ann.call("create_group", name="den")
    assert created["type"] == "group_created"
    assert types(ann.got) == ["group_created"]
    harness.fail = lambda asked: None
    harness.pass_time(30_000)
    assert ann.pushes("friend_request")
    assert [push["group"] for push in ann.pushes("group")] == [created["group"]]
    assert [entry["kind"] for entry in ann.pushes("message")] == ["joined"]


def test_a_device_that_leaves_while_its_roster_is_read_leaves_the_others_told(
    harness: NodeHarness,
) -> None:
    harness.register("ann", "bob")
    ann, here, bob = harness.login("ann", 0), harness.login("ann", 0), harness.login("bob", 1)
    group = bob.call("create_group", name="all")["group"]["id"]
    miss_change(harness, lambda: bob.call("add_friend", user="ann"))
    clear(harness, here, bob)
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadRoster)
    ann.ask("join_group", group=group)
    harness.run()
    assert [entry["kind"] for entry in bob.pushes("message")] == ["joined"]
    ann.hang_up()
    harness.answer_held()
    assert types(here.got) == ["friend_request", "group", "message"]


# ------------------------------------------------------------------ logins


def test_a_login_that_is_overtaken_by_a_change_begins_at_the_heads_that_it_read(
    harness: NodeHarness,
) -> None:
    """The roster of the login is older than the one that the node holds, whose heads are not."""
    harness.register("ann", "bob")
    conversation = harness.friends("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="all")["group"]["id"]
    for number in range(5):
        ann.call("chat", to="bob", text="hello", key=f"a{number}")
        ann.call("group_chat", group=group, text="hello", key=f"g{number}")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadRoster)
    cursors = {str(conversation): 5, str(group): 6}
    phone = harness.connect(0)
    phone.ask("resume", token=ann.got[1]["token"], cursors=cursors)
    harness.run()
    host, ticket, asked = harness.held.popleft()
    before = harness.answer(asked)
    bob.call("create_group", name="mine")
    assert bob.call("remove_friend", user="ann")["type"] == "done"
    bob.call("add_friend", user="ann")
    ann.call("add_friend", user="bob")
    host.feed(ev.Answer(ticket, before))
    harness.answer_held()
    (logged_in,) = phone.pushes("logged_in")
    assert [(one["seq"], one["read"]) for one in logged_in["friends"]] == [(5, 5)]
    assert [one["seq"] for one in logged_in["groups"]] == [6]
    assert not phone.pushes("message")


# ------------------------------------------------------------------ work


def opcodes(harness: NodeHarness, run: Callable[[], object]) -> int:
    """How many instructions of the core `run` takes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "call":
            if not frame.f_code.co_filename.startswith(CORE):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return count


def give(harness: NodeHarness, user: int, count: int) -> None:
    """Gives a user that many friends, groups and requests, past all nodes."""
    store = harness.store

    def fill() -> None:
        for number in range(2 * count):
            made = accounts.create_user(store, op.CreateUser(f"friend-{user}-{number}", "", 0))
            friendships.add_friend(store, op.AddFriend(made.user.id, user, 0, FREE, FREE))
            if number % 2:
                friendships.add_friend(store, op.AddFriend(user, made.user.id, 0))
                groups.create_group(
                    store, op.CreateGroup(user, f"group {number}", "", 0, FREE, FREE)
                )

    in_transaction(store, fill, write=True)


def costs(count: int) -> dict[str, int]:
    """What requests cost, to all nodes, that concern a user who has so much."""
    harness = NodeHarness(
        nodes=2, groups_owned=FREE, groups_joined=FREE, open_requests_received=FREE
    )
    ann, _ = harness.register("ann", "bob")
    give(harness, ann, count)
    anns = []
    for number in range(3):
        anns.append(harness.login("ann", number % 2))
        harness.pass_time(1_000)  # Large replies are made one at a time.
    bob = harness.login("bob")
    mine = anns[0].call("create_group", name="mine")["group"]["id"]
    his = bob.call("create_group", name="his")["group"]["id"]
    found = {}
    for name, peer, type, fields in (
        ("join", bob, "join_group", {"group": mine}),
        ("be joined", anns[0], "join_group", {"group": his}),
        ("rename", anns[0], "rename_group", {"group": mine, "name": "lair"}),
        ("be renamed", bob, "rename_group", {"group": his, "name": "lair"}),
        ("inherit", bob, "leave_group", {"group": his}),
        ("leave", anns[0], "leave_group", {"group": his}),
        ("create", anns[0], "create_group", {"name": "new"}),
        ("delete", anns[0], "delete_group", {"group": mine}),
        ("be asked", bob, "add_friend", {"user": "ann"}),
        ("accept", anns[0], "add_friend", {"user": "bob"}),
        ("be removed", bob, "remove_friend", {"user": "ann"}),
        ("ask", anns[0], "add_friend", {"user": "bob"}),
        ("take back", anns[0], "remove_friend", {"user": "bob"}),
        ("block", anns[0], "block", {"user": "bob"}),
        ("unblock", anns[0], "unblock", {"user": "bob"}),
    ):
        found[name] = opcodes(harness, partial(peer.call, type, **fields))
        assert peer.got[-1]["type"] != "error", name
    return found


def test_a_request_costs_the_core_as_much_for_a_user_who_has_much() -> None:
    few, many = costs(FEW), costs(MANY)
    wrong = {name: (few[name], many[name]) for name in few if many[name] > 1.1 * few[name]}
    assert not wrong
