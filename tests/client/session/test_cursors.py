"""Cursors by themselves: the position of an entry, and which cursors a resume names."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.client.session.cursors import Cursors, Position


@pytest.mark.parametrize(
    ("seq", "position"),
    [(3, Position.OLD), (4, Position.OLD), (5, Position.NEXT), (6, Position.GAP)],
)
def test_the_position_of_an_entry(seq: int, position: Position) -> None:
    cursors = Cursors()
    cursors.follow(7, 4)
    assert cursors.position(7, seq) is position
    cursors.unfollow(7)
    assert cursors.position(7, seq) is Position.NOT_FOLLOWED


def test_a_conversation_that_is_followed_again_goes_on_at_its_cursor() -> None:
    cursors = Cursors()
    cursors.follow(7, 4)
    cursors.advance(7)
    cursors.unfollow(7)
    cursors.follow(7, 0)
    assert cursors[7] == 5
    cursors.follow(7, 0, at_least=9)
    assert cursors.all() == {7: 9}


@given(st.dictionaries(st.integers(1, 10**6), st.integers(0, 10**9)), st.integers(0, 400))
def test_the_cursors_of_a_resume_fit(cursors_by_id: dict[int, int], max_bytes: int) -> None:
    cursors = Cursors()
    for conversation, cursor in cursors_by_id.items():
        cursors.follow(conversation, cursor)
    chosen = cursors.for_resume(max_bytes)
    assert chosen.items() <= cursors_by_id.items()
    assert not chosen or len(json.dumps(chosen, separators=(",", ":"))) <= max_bytes + 1


def test_a_cursor_that_did_not_fit_goes_first_the_next_time() -> None:
    cursors = Cursors()
    for conversation in (1, 2, 3):
        cursors.follow(conversation, 5)
    assert list(cursors.for_resume(12)) == [1, 2]
    assert cursors.continues(1, 9, resumed=True)
    assert not cursors.continues(3, 9, resumed=True)
    assert list(cursors.for_resume(12)) == [3, 1]
    assert cursors.continues(3, 9, resumed=True)
    assert list(cursors.for_resume(12)) == [1, 2]


def test_a_login_continues_only_from_cursors_that_are_high_enough() -> None:
    """A login names no cursors: the node starts after the read mark."""
    cursors = Cursors()
    cursors.follow(1, 5)
    cursors.for_resume(100)
    assert cursors.continues(1, 5, resumed=False)
    assert not cursors.continues(1, 6, resumed=False)
