"""What devices are told of who is online."""

from chat.core.ports import operations as op
from tests.core.node_harness import NodeHarness


def test_a_friend_made_while_a_login_asks_for_presence_is_not_told_offline() -> None:
    """The directory's answer says nothing of a friend that it was not asked about."""
    harness = NodeHarness(nodes=2)
    harness.register("ann", "bob", "cyd")
    harness.friends("ann", "cyd")
    asking = harness.login("ann", node=0)
    asking.call("add_friend", user="bob")
    asking.hang_up()
    harness.pass_time(10_000)
    bob = harness.login("bob", node=1)
    harness.hold_answers = lambda asked: isinstance(asked, op.FindPresence)
    ann = harness.connect(0)
    ann.ask("login", user="ann", password="secret-ann")
    harness.run()
    assert bob.call("add_friend", user="ann")["type"] == "done"
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    (logged_in,) = ann.pushes("logged_in")
    states = {friend["name"]: friend["state"] for friend in logged_in["friends"]}
    assert states.keys() == {"bob", "cyd"}
    told = [states["bob"], *(push["state"] for push in ann.pushes("presence"))]
    assert told[-1] == "online"
