"""Stories of groups, from their making to their end, on two nodes."""

from collections.abc import Callable

import pytest

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import Query
from chat.core.ports.operations import ReadLog
from tests.core.node_harness import NodeHarness


def miss_change(harness: NodeHarness, change: Callable[[], object]) -> None:
    """The roster changes, and the bus loses the news; so the next change finds a gap."""
    harness.lose_messages = lambda channel: channel.startswith("u:")
    change()
    harness.lose_messages = lambda channel: False


@pytest.fixture
def harness() -> NodeHarness:
    return NodeHarness(nodes=2)


def test_a_group_from_its_making_to_its_end(harness: NodeHarness) -> None:
    harness.register("ann", "bob", "cyd")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="gophers", description="burrows")["group"]["id"]
    ann.call("group_chat", group=group, text="before bob", key="a1")
    joined = bob.call("join_group", group=group)
    assert joined["group"]["since"] == 3
    bob.call("group_chat", group=group, text="hello", key="b1")
    assert [m["kind"] for m in ann.pushes("message")] == ["joined", "joined", "text"]
    assert [m["seq"] for m in bob.pushes("message")] == [3]
    members = ann.call("members", group=group)["members"]
    assert [(m["name"], m["role"], m["state"]) for m in members] == [
        ("ann", "owner", "online"),
        ("bob", "member", "online"),
    ]
    assert bob.call("delete_group", group=group)["code"] == "forbidden"
    assert harness.login("cyd").call("members", group=group)["code"] == "not_member"
    assert ann.call("delete_group", group=group)["type"] == "done"
    for peer in (ann, bob):
        assert peer.pushes("message")[-1]["kind"] == "deleted"
        assert peer.pushes("group_deleted") == [{"type": "group_deleted", "group": group}]
        assert peer.call("group_chat", group=group, text="x", key="z")["code"] in (
            "no_such_group",
            "not_member",
        )
    assert ann.call("join_group", group=group)["code"] == "no_such_group"
    assert all(not node.node._streams.conversations for node in harness.nodes)


def test_who_left_sees_nothing_that_came_after_and_the_group_goes_on(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="all")["group"]["id"]
    bob.call("join_group", group=group)
    assert ann.call("leave_group", group=group)["type"] == "done"
    bob.call("group_chat", group=group, text="alone", key="b1")
    assert ann.pushes("message")[-1]["kind"] == "left"
    assert [m["kind"] for m in bob.pushes("message")][-2:] == ["left", "promoted"]
    assert bob.pushes("group")[-1]["group"]["role"] == "owner"
    assert bob.call("leave_group", group=group)["type"] == "done"
    assert bob.call("join_group", group=group)["code"] == "no_such_group"


def test_who_comes_back_to_a_group_sees_it_from_the_second_joining_on(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="all")["group"]["id"]
    bob.call("join_group", group=group)
    bob.call("leave_group", group=group)
    ann.call("group_chat", group=group, text="unseen", key="a1")
    since = bob.call("join_group", group=group)["group"]["since"]
    ann.call("group_chat", group=group, text="seen", key="a2")
    assert bob.texts(group) == ["", "", "", "seen"]
    again = harness.connect(1)
    again.call("resume", token=bob.got[1]["token"], cursors={str(group): 1})
    harness.run()
    assert [m["seq"] for m in again.pushes("message")] == [since, since + 1]


def test_who_left_is_not_brought_back_by_a_roster_from_before(harness: NodeHarness) -> None:
    """A read of the roster is on its way, and the log tells of the leaving first."""
    harness.register("ann", "bob", "cyd")
    ann, there, bob = harness.login("ann", 0), harness.login("ann", 1), harness.login("bob", 1)
    group = bob.call("create_group", name="all")["group"]["id"]
    there.call("join_group", group=group)
    miss_change(harness, lambda: harness.login("cyd", 1).call("add_friend", user="ann"))
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadRoster)
    bob.call("add_friend", user="ann")
    (asked,) = (one for one in harness.held if one[0] is harness.nodes[0])
    harness.held.remove(asked)
    host, ticket, operation = asked
    before = harness.answer(operation)
    there.call("leave_group", group=group)
    assert [m["kind"] for m in ann.pushes("message")] == ["joined", "left"]
    ann.forget()
    host.feed(ev.Answer(ticket, before))
    harness.answer_held()
    assert ann.pushes("friend_request")
    assert not ann.pushes("group")
    assert not ann.pushes("message")
    there.call("join_group", group=group)
    harness.answer_held()
    assert [m["kind"] for m in ann.pushes("message")] == ["joined"]


def test_a_snapshot_from_before_does_not_name_a_group_that_was_left(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, there, bob = harness.login("ann", 0), harness.login("ann", 1), harness.login("bob", 1)
    group = bob.call("create_group", name="all")["group"]["id"]
    there.call("join_group", group=group)
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadRoster)
    number = ann.ask("snapshot")
    harness.run()
    host, ticket, asked = harness.held.popleft()
    before = harness.answer(asked)
    there.call("leave_group", group=group)
    assert ann.pushes("group_deleted")
    host.feed(ev.Answer(ticket, before))
    harness.run()
    (snapshot,) = (line for line in ann.got if line.get("re") == number)
    assert snapshot["groups"] == []


def test_who_joined_hears_that_another_device_has_left_meanwhile(harness: NodeHarness) -> None:
    """The answer to the joining comes after a roster that is newer."""
    harness.register("ann", "bob")
    ann, there, bob = harness.login("ann", 0), harness.login("ann", 1), harness.login("bob", 1)
    group = bob.call("create_group", name="all")["group"]["id"]
    harness.hold_answers = lambda asked: isinstance(asked, op.JoinGroup)
    ann.ask("join_group", group=group)
    harness.run()
    host, ticket, asked = harness.held.popleft()
    joined = harness.answer(asked)
    there.call("leave_group", group=group)
    host.feed(ev.Answer(ticket, joined))
    harness.run()
    assert [line["type"] for line in ann.got][-2:] == ["joined", "group_deleted"]
    assert there.call("snapshot")["groups"] == []


def test_all_devices_of_a_user_join_with_one(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, phone, laptop = harness.login("ann"), harness.login("bob", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="all")["group"]["id"]
    phone.call("join_group", group=group)
    ann.call("group_chat", group=group, text="hi", key="k")
    for device in (phone, laptop):
        assert device.texts(group) == ["", "hi"]
        assert device.pushes("group")[0]["group"]["id"] == group


def test_a_group_that_is_made_or_joined_is_not_read_from_the_log(harness: NodeHarness) -> None:
    """The entry of the joining is in the outcome already."""
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    for node in harness.nodes:
        node.log.clear()
    group = ann.call("create_group", name="all")["group"]["id"]
    bob.call("join_group", group=group)
    assert [m["seq"] for m in ann.pushes("message")] == [1, 2]
    assert [m["seq"] for m in bob.pushes("message")] == [2]
    assert not [
        effect
        for node in harness.nodes
        for _, _, effects in node.log
        for effect in effects
        if isinstance(effect, Query) and isinstance(effect.operation, ReadLog)
    ]


def test_a_group_that_is_renamed_is_told_by_its_log_and_by_rosters(harness: NodeHarness) -> None:
    harness.register("ann", "bob")
    ann, bob = harness.login("ann", 0), harness.login("bob", 1)
    group = ann.call("create_group", name="gophers", description="burrows")["group"]["id"]
    bob.call("join_group", group=group)
    assert bob.call("rename_group", group=group, name="moles")["code"] == "forbidden"
    assert ann.call("rename_group", group=group, name="moles")["type"] == "done"
    for peer in (ann, bob):
        renamed = peer.pushes("message")[-1]
        assert (renamed["kind"], renamed["text"], renamed["from"]["name"]) == (
            "renamed",
            "moles",
            "ann",
        )
        changed = peer.pushes("group")[-1]["group"]
        assert (changed["name"], changed["description"]) == ("moles", "burrows")
    bob.forget()
    assert ann.call("rename_group", group=group, name="moles")["type"] == "done"
    assert not bob.got
