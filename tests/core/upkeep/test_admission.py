"""Which connections a node has room for, and which of them makes room for another."""

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.core.ports import operations as op
from chat.core.upkeep.admission import GRACE_MS, address_of
from tests.core.node_harness import NodeHarness, Peer


def codes(peers: Sequence[Peer]) -> list[str | None]:
    """The code that each connection was refused or replaced with; None for those that go on."""
    last = [str(peer.got[-1].get("code")) for peer in peers]
    return [code if code in ("busy", "replaced") else None for code in last]


def log_in(harness: NodeHarness, name: str, number: int) -> Peer:
    """A user logs in, from an address of that number, and some time passes."""
    peer = harness.connect(address=f"10.0.1.{number}")
    peer.call("login", user=name, password=f"secret-{name}")
    harness.pass_time(10)
    return peer


# ---------------------------------------------------------------------- addresses


@given(st.ip_addresses(v=4))
def test_an_address_of_ipv4_is_the_same_however_it_is_written(
    address: ipaddress.IPv4Address,
) -> None:
    assert address_of(str(address)) == address_of(f"::ffff:{address}") == str(address)


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1))
def test_addresses_of_ipv6_are_the_same_if_their_first_64_bits_are(
    address: ipaddress.IPv6Address, host: int, other: int
) -> None:
    network = ipaddress.ip_network((address, 64), strict=False)
    if address.ipv4_mapped is None:
        near = ipaddress.IPv6Address(int(network.network_address) | host)
        assert near.ipv4_mapped is not None or address_of(str(near)) == address_of(str(address))
    far = ipaddress.IPv6Address(other)
    assert far in network or address_of(str(far)) != address_of(str(address))


def test_what_is_no_address_is_itself() -> None:
    assert address_of("/run/chat.sock") == "/run/chat.sock"


# ---------------------------------------------------------------------- before login


def test_a_network_of_ipv6_has_the_limit_of_one_address() -> None:
    harness = NodeHarness(unauthenticated_per_address=5)
    peers = [harness.connect(address=f"2001:db8::{host:x}") for host in range(1, 7)]
    assert codes(peers) == [None] * 5 + ["busy"]
    assert harness.connect(address="2001:db8:0:1::1").open


def test_a_connection_within_its_grace_is_not_closed_for_a_new_one() -> None:
    harness = NodeHarness(unauthenticated_per_address=3)
    peers = [harness.connect() for _ in range(3)]
    harness.pass_time(GRACE_MS - 1)
    peers.append(harness.connect())
    assert codes(peers) == [None, None, None, "busy"]
    harness.pass_time(1)
    peers.append(harness.connect())
    assert codes(peers) == ["busy", None, None, "busy", None]


def test_the_connection_that_failed_most_makes_room_even_within_its_grace() -> None:
    harness = NodeHarness(unauthenticated_per_address=3)
    peers = [harness.connect() for _ in range(3)]
    for number, times in ((1, 1), (2, 2)):
        for _ in range(times):
            peers[number].call("login", user="ann", password="wrong password")
    peers.append(harness.connect())
    assert codes(peers) == [None, None, "busy", None]


def test_a_connection_that_tries_again_makes_room_while_its_password_is_checked() -> None:
    harness = NodeHarness(unauthenticated_per_address=1)
    first = harness.connect()
    first.call("login", user="ann", password="wrong password")
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    first.ask("login", user="ann", password="wrong password")
    harness.run()
    second = harness.connect()
    assert codes([first, second]) == ["busy", None]
    harness.answer_held()
    harness.pass_time(60_000)
    assert not harness.nodes[0].node.resource_counts()


def test_a_first_login_under_way_is_not_closed_for_a_new_connection() -> None:
    harness = NodeHarness(unauthenticated_per_address=1)
    harness.register("ann")
    first = harness.connect()
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    first.ask("login", user="ann", password="secret-ann")
    harness.run()
    harness.pass_time(5 * GRACE_MS)
    assert codes([harness.connect()]) == ["busy"]
    harness.answer_held()
    assert first.got[-1]["type"] == "logged_in"


def test_connections_that_only_stand_there_do_not_fill_the_node() -> None:
    harness = NodeHarness(connections=8)
    silent = [harness.connect(address=f"10.0.1.{number}") for number in range(8)]
    peers = [harness.connect(address=f"10.0.3.{number}") for number in range(3)]
    assert codes(silent) == ["busy"] * 3 + [None] * 5, "the oldest make room first"
    assert codes(peers) == [None] * 3


def test_in_a_full_node_an_address_with_many_connections_makes_room_for_itself() -> None:
    harness = NodeHarness(connections=8)
    others = [harness.connect(address=f"10.0.1.{number}") for number in range(5)]
    many = [harness.connect(address="10.0.2.1") for _ in range(4)]
    assert codes(others) == [None] * 5
    assert codes(many) == ["busy", None, None, None]


def test_in_a_full_node_a_login_under_way_is_not_closed_for_a_new_connection() -> None:
    harness = NodeHarness(connections=4)
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    peers = [harness.connect(address=f"10.0.1.{number}") for number in range(4)]
    for peer in peers:
        peer.ask("login", user="ann", password="secret-ann")
    harness.run()
    assert codes([harness.connect(address="10.0.2.1")]) == ["busy"]
    assert codes(peers) == [None] * 4


def test_one_place_in_four_is_kept_for_connections_that_are_not_logged_in() -> None:
    """The user with the most connections makes room, or else the login is refused."""
    harness = NodeHarness(connections=9)
    names = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus"]
    harness.register(*names)

    two = [log_in(harness, "ann", number) for number in range(2)]
    others = [log_in(harness, name, 2 + number) for number, name in enumerate(names[1:6])]
    assert codes([*two, *others]) == [None] * 7
    last = log_in(harness, "gus", 7)
    assert codes(two) == ["replaced", None]
    assert codes([*others, last]) == [None] * 6
    newcomer = log_in(harness, "ann", 8)
    assert codes([*two, *others, last]) == ["replaced"] + [None] * 7
    assert (newcomer.got[-1]["code"], newcomer.got[-1]["re"]) == ("busy", 1)
    assert newcomer.call("ping")["type"] == "pong"


def test_an_address_has_at_most_three_in_four_of_the_node() -> None:
    harness = NodeHarness(connections=8)
    peers = [harness.connect() for _ in range(7)]
    assert codes(peers) == [None] * 6 + ["busy"]
    assert harness.connect(address="10.0.0.2").open


def test_a_connection_that_logs_out_counts_as_not_logged_in_again() -> None:
    harness = NodeHarness(unauthenticated_per_address=1)
    harness.register("ann")
    ann = harness.login("ann")
    assert harness.connect().open
    ann.call("logout")
    harness.pass_time(1)
    assert codes([harness.connect()]) == ["busy"]


# ---------------------------------------------------------------------- after login


def test_the_connection_of_a_user_that_was_silent_longest_is_replaced() -> None:
    harness = NodeHarness(connections_per_user=3)
    harness.register("ann")
    peers = []
    for _ in range(3):
        peers.append(harness.login("ann"))
        harness.pass_time(10)
    peers[0].call("ping")
    peers.append(harness.login("ann"))
    assert codes(peers) == [None, "replaced", None, None]
    assert peers[-1].got[-1]["type"] != "error"


def test_the_connection_of_a_device_that_was_silent_longest_is_replaced() -> None:
    harness = NodeHarness(connections_per_device=2)
    harness.register("ann")
    first = harness.login("ann")
    other = harness.login("ann")
    (logged_in,) = first.pushes("logged_in")
    peers = [first]
    for _ in range(2):
        harness.pass_time(10)
        peers.append(harness.connect())
        resumed = peers[-1].call("resume", token=logged_in["token"], cursors={})
        assert resumed["type"] == "logged_in"
    assert codes(peers) == ["replaced", None, None]
    assert other.open, "it is another device"


def test_a_user_has_at_most_one_in_four_of_the_node() -> None:
    harness = NodeHarness(connections=8)
    harness.register("ann", "bob")
    peers = []
    for _ in range(3):
        harness.pass_time(10)
        peers.append(harness.login("ann"))
    assert codes(peers) == ["replaced", None, None]
    assert harness.login("bob").open


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("clfoqp"), st.integers(0, 5)), max_size=60))
def test_whatever_connections_do_no_limit_is_exceeded_and_none_is_left_over(
    story: list[tuple[str, int]],
) -> None:
    """They connect, log in, fail to, log out, quit; time passes."""
    harness = NodeHarness(
        connections=12, connections_per_device=2, unauthenticated_per_address=2, cost_burst=100_000
    )
    harness.register("ann", "bob")
    peers: list[Peer] = []
    for what, number in story:
        here = [peer for peer in peers if peer.open]
        peer = here[number % len(here)] if here else None
        if what == "c":
            peers.append(harness.connect(address=f"10.0.0.{number % 3}"))
        elif what == "p":
            harness.pass_time(400)
        elif peer is not None and what == "q":
            peer.hang_up()
        elif peer is not None:
            name = ("ann", "bob")[number % 2]
            password = f"secret-{name}" if what == "l" else "wrong password"
            fields = {} if what == "o" else {"user": name, "password": password}
            peer.ask("logout" if what == "o" else "login", **fields)
        harness.run()
        _check_limits(harness, peers)
    for peer in peers:
        peer.hang_up()
    harness.run()
    harness.pass_time(60_000)
    assert not harness.nodes[0].node.resource_counts()


def _check_limits(harness: NodeHarness, peers: list[Peer]) -> None:
    node = harness.nodes[0].node
    sessions = [
        session for peer in peers if peer.open and (session := node.session(peer.connection))
    ]
    assert len(sessions) <= 12
    for address in {session.address for session in sessions}:
        own = [session for session in sessions if session.address == address]
        assert len(own) <= 9
        assert len([session for session in own if session.user is None]) <= 2
    for user in {session.user.id for session in sessions if session.user is not None}:
        assert sum(one.user is not None and one.user.id == user for one in sessions) <= 3


@pytest.mark.parametrize("ends", ["hang up", "time-out"])
def test_connections_that_end_give_their_places_back(ends: str) -> None:
    harness = NodeHarness(unauthenticated_per_address=3)
    for _ in range(20):
        peers = [harness.connect() for _ in range(3)]
        assert codes(peers) == [None] * 3
        if ends == "hang up":
            for peer in peers:
                peer.hang_up()
        harness.pass_time(11_000)
    assert not harness.nodes[0].node.resource_counts()


def test_in_a_full_node_the_newest_connection_is_not_the_one_that_is_replaced() -> None:
    """It was heard before all others, as its password took long."""
    harness = NodeHarness(connections=12)
    names = ["ann", "bob", "cyd", "dan", "eve", "fay", "gus"]
    harness.register(*names)

    peers = [log_in(harness, name, number) for number, name in enumerate([*names, "bob", "bob"])]
    newest = harness.connect(address="10.0.1.9")
    harness.hold_answers = lambda asked: isinstance(asked, op.CheckPassword)
    newest.ask("login", user="ann", password="secret-ann")
    harness.pass_time(10)
    for peer in peers:
        peer.call("ping")
    harness.hold_answers = lambda asked: False
    harness.answer_held()
    assert codes([newest]) == [None]
    assert codes(peers) == [None, "replaced"] + [None] * 7


def test_a_login_does_not_take_the_only_connection_of_another_user() -> None:
    names = [f"user{number}" for number in range(8)]
    harness = NodeHarness(connections=9)
    harness.register(*names)
    *others, last = [log_in(harness, name, number) for number, name in enumerate(names)]
    assert not any(peer.pushes("error") for peer in others)
    assert last.got[-1].get("code") == "busy"
