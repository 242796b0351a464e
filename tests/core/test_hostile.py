"""Peers who are slow, greedy or quick at the wrong time."""

import pytest

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from tests.core.node_harness import NodeHarness, Peer, ping


@pytest.fixture
def house() -> NodeHarness:
    house = NodeHarness()
    house.register("ann")
    return house


def test_a_line_has_its_time_from_its_own_start(house: NodeHarness) -> None:
    ann = house.login("ann")
    data = b"".join(ping(id) for id in range(30))
    step = len(ping(0)) + 1
    for start in range(0, len(data), step):
        ann.write(data[start : start + step])
        house.pass_time(1_000)
    assert not ann.closed
    assert [line["re"] for line in ann.got if line["type"] == "pong"] == list(range(30))


def test_a_reader_that_makes_progress_is_not_dead_because_it_is_not_read_from(
    house: NodeHarness,
) -> None:
    ann = house.login("ann")
    ann.node.feed(ev.WriteBufferFull(ann.connection))
    for left_bytes in range(900_000, 300_000, -30_000):
        house.pass_time(5_000)
        ann.node.feed(ev.WriteBufferDrained(ann.connection, left_bytes))
    house.run()
    assert ann.paused and not ann.closed
    ann.node.feed(ev.WriteBufferDrained(ann.connection, 0))
    house.pass_time(19_000)
    assert not ann.paused and not ann.closed
    house.pass_time(27_000)
    assert ann.closed


def guess(house: NodeHarness, password: str, user: str | int = "ann") -> Peer:
    peer = house.connect()
    peer.ask("login", user=user, password=password)
    house.run()
    return peer


def codes(peers: list[Peer]) -> list[str]:
    replies = [line for peer in peers for line in peer.got if "re" in line]
    return [str(line.get("code", line["type"])) for line in replies]


def test_guesses_made_at_once_are_no_more_than_guesses_made_in_turn(house: NodeHarness) -> None:
    house.hold_answers = lambda operation: isinstance(operation, op.CheckPassword)
    peers = [guess(house, "wrong wrong") for _ in range(9)]
    peers.append(guess(house, "secret-ann"))
    house.hold_answers = lambda operation: False
    house.answer_held()
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"] * 5


def test_an_account_has_as_many_guesses_whatever_it_is_called_by(house: NodeHarness) -> None:
    ann = house.login("ann")
    number = ann.call("profile")["user"]["id"]
    peers = [guess(house, "wrong wrong", who) for who in ("ann", number, "ANN") * 2]
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"]


def test_what_comes_after_a_drain_is_not_kept(house: NodeHarness) -> None:
    ann = house.login("ann")
    house.hold_answers = lambda operation: True
    ann.ask("profile")
    house.run()
    ann.node.feed(ev.Drain(0))
    for id in range(100):
        ann.write(ping(id) * 1_000)
    house.run()
    session = ann.node.node.session(ann.connection)
    assert session is not None
    assert session.frames.buffered_bytes == 0
    house.answer_held()
    assert ann.closed
