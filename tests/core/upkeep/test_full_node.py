"""A node that is full of users with one connection each."""

from tests.core.node_harness import NodeHarness, Peer


def test_a_login_does_not_take_the_only_connection_of_another_user() -> None:
    names = [f"user{number}" for number in range(8)]
    harness = NodeHarness(connections=9)
    harness.register(*names)

    def log_in(number: int) -> Peer:
        peer = harness.connect(address=f"10.0.1.{number}")
        peer.call("login", user=names[number], password=f"secret-{names[number]}")
        return peer

    *others, last = [log_in(number) for number in range(8)]
    assert not any(peer.pushes("error") for peer in others)
    assert last.got[-1].get("code") == "busy"
