"""Peers who are slow, greedy or quick at the wrong time."""

import pytest

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from tests.core.node_harness import NodeHarness, Peer, ping


@pytest.fixture
def harness() -> NodeHarness:
    harness = NodeHarness()
    harness.register("ann")
    return harness


def test_a_line_has_its_time_from_its_own_start(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    data = b"".join(ping(id) for id in range(30))
    step = len(ping(0)) + 1
    for start in range(0, len(data), step):
        ann.write(data[start : start + step])
        harness.pass_time(1_000)
    assert not ann.closed
    assert [line["re"] for line in ann.got if line["type"] == "pong"] == list(range(30))


def test_a_reader_that_makes_progress_is_not_dead_because_it_is_not_read_from(
    harness: NodeHarness,
) -> None:
    ann = harness.login("ann")
    ann.node.feed(ev.WriteBufferFull(ann.connection))
    for left_bytes in range(900_000, 300_000, -30_000):
        harness.pass_time(5_000)
        ann.node.feed(ev.WriteBufferDrained(ann.connection, left_bytes))
    harness.run()
    assert ann.paused and not ann.closed
    ann.node.feed(ev.WriteBufferDrained(ann.connection, 0))
    harness.pass_time(19_000)
    assert not ann.paused and not ann.closed
    harness.pass_time(27_000)
    assert ann.closed


def guess(harness: NodeHarness, password: str, user: str | int = "ann") -> Peer:
    peer = harness.connect()
    peer.ask("login", user=user, password=password)
    harness.run()
    return peer


def codes(peers: list[Peer]) -> list[str]:
    replies = [line for peer in peers for line in peer.got if "re" in line]
    return [str(line.get("code", line["type"])) for line in replies]


def test_guesses_made_at_once_are_no_more_than_guesses_made_in_turn(harness: NodeHarness) -> None:
    harness.hold_answers = lambda operation: isinstance(operation, op.CheckPassword)
    peers = [guess(harness, "wrong wrong") for _ in range(9)]
    peers.append(guess(harness, "secret-ann"))
    harness.hold_answers = lambda operation: False
    harness.answer_held()
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"] * 5


def test_an_account_has_as_many_guesses_whatever_it_is_called_by(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    number = ann.call("profile")["user"]["id"]
    peers = [guess(harness, "wrong wrong", who) for who in ("ann", number, "ANN") * 2]
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"]


def test_what_comes_after_a_drain_is_not_kept(harness: NodeHarness) -> None:
    ann = harness.login("ann")
    harness.hold_answers = lambda operation: True
    ann.ask("profile")
    harness.run()
    ann.node.feed(ev.Drain(0))
    for id in range(100):
        ann.write(ping(id) * 1_000)
    harness.run()
    session = ann.node.node.session(ann.connection)
    assert session is not None
    assert session.frames.buffered_bytes == 0
    harness.answer_held()
    assert ann.closed


HTTP = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:6000\r\nContent-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize("head", [HTTP, b"\r\n\n" + HTTP, b"\x16\x03\x01\x02\x00\n"])
@pytest.mark.parametrize("step", [1, 50, 10_000])
@pytest.mark.parametrize("first", ["nothing", "login", "a whole login"])
def test_nothing_inside_of_another_protocol_is_carried_out(
    harness: NodeHarness, first: str, step: int, head: bytes
) -> None:
    """A web page can have a browser send requests in the body of a request of its own."""
    peer = harness.login("ann") if first == "a whole login" else harness.connect()
    if first == "login":
        peer.ask("login", user="ann", password="secret-ann")
    before = len(peer.got)
    body = b'{"type":"register","id":7,"name":"web","password":"correct horse"}\n' + ping(8)
    data = head + body
    for start in range(0, len(data), step):
        peer.write(data[start : start + step])
    harness.run()
    assert peer.closed
    assert not [line for line in peer.got if line.get("re") in (7, 8)]
    codes = [line["code"] for line in peer.got[before:] if line["type"] == "error"]
    assert codes == ["wrong_protocol"]
    harness.register("web")


def test_a_browser_is_told_before_its_first_line_ends(harness: NodeHarness) -> None:
    peer = harness.connect()
    peer.write(b"GET /" + b"x" * 100_000)
    harness.run()
    assert peer.closed
    assert peer.got[-1]["code"] == "wrong_protocol"
