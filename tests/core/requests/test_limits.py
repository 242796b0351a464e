"""Requests over a limit of what one user may have, as the user is told."""

import pytest

from chat.core.ports import operations as op
from chat.core.state.config import NodeConfig
from chat.protocol.rules import LIMITS
from tests.core.node_harness import NodeHarness


def test_the_limits_of_a_node_are_those_of_the_spec_unless_it_has_others() -> None:
    for limit in op.UserLimit:
        assert getattr(NodeConfig(), limit) == getattr(LIMITS, limit)


@pytest.mark.parametrize(
    ("limit", "type", "fields", "sentence"),
    [
        (
            "open_requests_made",
            "add_friend",
            ({"user": "bob"}, {"user": "cyd"}),
            "You have as many unanswered friend requests as one user may, 1; take one back first.",
        ),
        (
            "groups_owned",
            "create_group",
            ({"name": "den"}, {"name": "lair"}),
            "You own as many groups as one user may, 1; delete or leave one first.",
        ),
        (
            "groups_joined",
            "create_group",
            ({"name": "den"}, {"name": "lair"}),
            "You are a member of as many groups as one user may be, 1; leave one first.",
        ),
    ],
)
def test_one_more_than_the_limit_is_refused_with_what_to_do(
    limit: str, type: str, fields: tuple[dict[str, str], dict[str, str]], sentence: str
) -> None:
    harness = NodeHarness(2, bus=True, **{limit: 1})
    harness.register("ann", "bob", "cyd")
    ann = harness.login("ann")
    assert ann.call(type, **fields[0])["type"] != "error"
    refused = ann.call(type, **fields[1])
    assert (refused["code"], refused["message"]) == ("limit_reached", sentence)


def test_requests_to_a_user_who_has_many_and_groups_that_are_joined_are_limited() -> None:
    harness = NodeHarness(nodes=2, open_requests_received=1, groups_joined=1)
    harness.register("ann", "bob", "cyd")
    ann, bob, cyd = harness.login("ann", 0), harness.login("bob", 1), harness.login("cyd", 0)
    assert bob.call("add_friend", user="ann")["type"] == "done"
    refused = cyd.call("add_friend", user="ann")
    assert (refused["code"], refused["message"]) == (
        "limit_reached",
        "That user has as many unanswered friend requests as one user may, 1; try again later.",
    )
    assert ann.call("add_friend", user="bob")["type"] == "done"
    assert cyd.call("add_friend", user="ann")["type"] == "done"
    group = ann.call("create_group", name="den")["group"]["id"]
    bob.call("create_group", name="lair")
    assert bob.call("join_group", group=group)["code"] == "limit_reached"
    assert cyd.call("join_group", group=group)["type"] == "joined"
