"""Which requests are taken now, and which have to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.core import events as ev
from chat.core.intake import REQUESTS_A_TURN, TURN_MS
from tests.core.house import House, Peer

MANY = 4 * REQUESTS_A_TURN + 7
requests = st.sampled_from(
    [b"", b"hello", b"{}", b'{"type":"sing","id":1}', b'{"type":"ping","id":2}']
)


@pytest.fixture
def house() -> House:
    house = House()
    house.register("ann", "bob")
    return house


def pings(count: int, first: int = 0) -> bytes:
    return b"".join(b'{"type":"ping","id":%d}\n' % id for id in range(first, first + count))


def pongs(peer: Peer) -> list[int]:
    return [line["re"] for line in peer.got if line["type"] == "pong"]


def most_effects(peer: Peer) -> int:
    return max(len(effects) for _, _, effects in peer.node.log)


@given(st.lists(requests, min_size=MANY, max_size=MANY + 300), st.integers(1, 10_000))
def test_however_much_is_asked_at_once_a_turn_is_short_and_all_is_answered(
    lines: list[bytes], step: int
) -> None:
    house = House()
    peer = house.connect()
    data = b"".join(line + b"\n" for line in lines)
    for start in range(0, len(data), step):
        peer.write(data[start : start + step])
    house.pass_time(MANY * TURN_MS)
    assert most_effects(peer) <= REQUESTS_A_TURN + 1
    assert not peer.paused and not peer.closed
    assert len(peer.got) == 1 + len([line for line in lines if line])


def test_those_who_ask_much_have_turns_one_after_the_other(house: House) -> None:
    ann, bob, eve = house.login("ann"), house.login("bob"), house.connect()
    for peer in (ann, bob):
        peer.write(pings(MANY))
    house.run()
    assert len(pongs(ann)) == len(pongs(bob)) == REQUESTS_A_TURN
    for turn in range(2, 10):
        assert eve.call("ping")["type"] == "pong"
        house.pass_time(TURN_MS)
        assert len(pongs(ann)) + len(pongs(bob)) <= (turn + 1) * REQUESTS_A_TURN
        assert abs(len(pongs(ann)) - len(pongs(bob))) <= REQUESTS_A_TURN
    house.pass_time(TURN_MS)
    assert pongs(ann) == pongs(bob) == list(range(MANY))


def test_what_comes_while_one_rests_comes_after_it(house: House) -> None:
    ann = house.login("ann")
    ann.write(pings(REQUESTS_A_TURN + 1))
    ann.write(pings(1, REQUESTS_A_TURN + 1))
    house.run()
    assert pongs(ann) == list(range(REQUESTS_A_TURN))
    house.pass_time(TURN_MS)
    assert pongs(ann) == list(range(REQUESTS_A_TURN + 2))


def test_whoever_does_not_read_is_answered_no_more_until_he_does(house: House) -> None:
    ann = house.login("ann")
    ann.write(pings(MANY))
    house.run()
    ann.node.feed(ev.WriteBufferFull(ann.connection))
    house.pass_time(MANY * TURN_MS)
    assert pongs(ann) == list(range(REQUESTS_A_TURN))
    assert ann.paused
    ann.node.feed(ev.WriteBufferDrained(ann.connection, 0))
    house.pass_time(MANY * TURN_MS)
    assert pongs(ann) == list(range(MANY))
    assert not ann.paused


@pytest.mark.parametrize("how", ["gone", "drained"])
def test_an_end_while_one_rests(house: House, how: str) -> None:
    ann, bob = house.login("ann"), house.login("bob")
    for peer in (ann, bob):
        peer.write(pings(MANY))
    house.run()
    if how == "gone":
        ann.hang_up()
        house.pass_time(MANY * TURN_MS)
        assert pongs(bob) == list(range(MANY))
    else:
        ann.node.feed(ev.Drain(0))
        house.run()
        assert ann.closed and bob.closed
        house.pass_time(MANY * TURN_MS)
    assert len(pongs(ann)) == REQUESTS_A_TURN
