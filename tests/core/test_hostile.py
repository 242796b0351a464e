"""Peers who are slow, greedy or quick at the wrong time."""

import pytest

from chat.core import operations as op
from tests.core.house import House, Peer


@pytest.fixture
def house() -> House:
    house = House()
    house.register("ann")
    return house


def guess(house: House, password: str, user: str | int = "ann") -> Peer:
    peer = house.connect()
    peer.ask("login", user=user, password=password)
    house.run()
    return peer


def codes(peers: list[Peer]) -> list[str]:
    replies = [line for peer in peers for line in peer.got if "re" in line]
    return [str(line.get("code", line["type"])) for line in replies]


def test_guesses_made_at_once_are_no_more_than_guesses_made_in_turn(house: House) -> None:
    house.hold_answers = lambda operation: isinstance(operation, op.CheckPassword)
    peers = [guess(house, "wrong wrong") for _ in range(9)]
    peers.append(guess(house, "secret-ann"))
    house.hold_answers = lambda operation: False
    house.answer_held()
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"] * 5


def test_an_account_has_as_many_guesses_whatever_it_is_called_by(house: House) -> None:
    ann = house.login("ann")
    number = ann.call("profile")["user"]["id"]
    peers = [guess(house, "wrong wrong", who) for who in ("ann", number, "ANN") * 2]
    assert codes(peers) == ["bad_credentials"] * 5 + ["rate_limited"]
