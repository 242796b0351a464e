"""Rendered text: golden screens, and no character that a terminal would obey."""

import unicodedata
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from chat.client.session.ports import notices
from chat.client.session.roster import Roster
from chat.client.terminal import rendering
from chat.client.terminal.rendering import Clock
from chat.protocol import messages as wire

AT = 1_767_225_600_000  # 2026-01-01 00:00 UTC
CLOCK = Clock(now=datetime(2026, 1, 1, 12, tzinfo=UTC), zone=UTC)
TURNS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ANN, BOB = wire.User(id=1, name="ann"), wire.User(id=2, name="bob")


def a_roster() -> Roster:
    roster = Roster()
    roster.user = ANN
    on, off = wire.PresenceState.ONLINE, wire.PresenceState.OFFLINE
    for id, name, state in ((2, "bob", on), (1003, "bartholomew", off)):
        roster.put_friend(
            wire.Friend(id=id, name=name, state=state, conversation=id + 5, seq=0, read=0)
        )
    for id, name, about in ((9, "gophers", "all about burrows"), (12, "日本語の会", "お茶")):
        roster.put_group(
            wire.Group(
                id=id,
                name=name,
                description=about,
                role=wire.Role.OWNER,
                seq=1,
                read=0,
                since=1,
            )
        )
    roster.put_request(wire.User(id=3, name="cyd"))
    return roster


def an_entry(
    seq: int, user: wire.User, text: str, kind: wire.EntryKind = wire.EntryKind.TEXT, day: int = 0
) -> wire.Entry:
    at = AT + seq * 60_000 - day * 86_400_000
    return wire.Entry(seq=seq, kind=kind, from_=user, text=text, at=at)


def test_the_screen_after_login() -> None:
    assert rendering.login_screen(ANN, a_roster()) == (
        "Logged in as ann (1).\n"
        "\n"
        "Friends\n"
        "ID    NAME         STATE\n"
        "2     bob          online\n"
        "1003  bartholomew  offline\n"
        "\n"
        "Groups\n"
        "ID  NAME        DESC\n"
        "9   gophers     all about burrows\n"
        "12  日本語の会  お茶\n"
        "\n"
        "Friend requests\n"
        "ID  NAME\n"
        "3   cyd\n"
        "addfriend:ID says yes, removefriend:ID says no."
    )


def test_the_screen_of_a_new_user() -> None:
    roster = Roster()
    assert rendering.login_screen(ANN, roster) == (
        "Logged in as ann (1).\n"
        "\n"
        "Friends\n"
        "none yet: addfriend:ID asks somebody.\n"
        "\n"
        "Groups\n"
        "none yet: creategroup:NAME:DESC makes one, joingroup:ID joins one."
    )


def test_the_backlog() -> None:
    entries = {
        7: [an_entry(1, BOB, "hi", day=1), an_entry(2, BOB, "two\nlines"), an_entry(3, ANN, "yes")],
        9: [an_entry(4, BOB, "", wire.EntryKind.JOINED), an_entry(5, BOB, "hello all")],
    }
    assert rendering.backlog(entries, a_roster(), CLOCK) == (
        "While you were away\n"
        "  bob\n"
        "    2025-12-31 00:01 bob: hi\n"
        "    00:02 bob: two\n"
        "          lines\n"
        "    00:03 you: yes\n"
        "  [gophers]\n"
        "    00:04 bob joined.\n"
        "    00:05 bob: hello all"
    )


def test_entries_as_they_come() -> None:
    roster = a_roster()
    lines = [
        rendering.entry_line(7, an_entry(1, BOB, "hi"), roster, CLOCK),
        rendering.entry_line(7, an_entry(2, ANN, "hi"), roster, CLOCK),
        rendering.entry_line(9, an_entry(3, BOB, "hi"), roster, CLOCK),
        rendering.entry_line(9, an_entry(4, ANN, "hi"), roster, CLOCK),
        rendering.entry_line(9, an_entry(5, BOB, "", wire.EntryKind.LEFT), roster, CLOCK),
        rendering.entry_line(9, an_entry(6, ANN, "", wire.EntryKind.PROMOTED), roster, CLOCK),
        rendering.entry_line(77, an_entry(7, BOB, "bye"), roster, CLOCK),
        rendering.entry_line(
            7,
            wire.Entry(seq=1, kind=wire.EntryKind.TEXT, from_=BOB, text="?", at=2**53),
            roster,
            CLOCK,
        ),
    ]
    assert lines == [
        "00:01 bob: hi",
        "00:02 you to bob: hi",
        "00:03 [gophers] bob: hi",
        "00:04 [gophers] you: hi",
        "00:05 [gophers] bob left.",
        "00:06 [gophers] you are the owner now.",
        "00:07 [77] bob: bye",
        "??:?? bob: ?",
    ]


def test_other_tables() -> None:
    on, off = wire.PresenceState.ONLINE, wire.PresenceState.OFFLINE
    group_members = (
        wire.Member(id=1, name="ann", role=wire.Role.OWNER, state=on),
        wire.Member(id=2, name="bob", role=wire.Role.MEMBER, state=off),
    )
    assert rendering.members(9, group_members, a_roster()) == (
        "gophers (9)\nID  NAME  ROLE    STATE\n1   ann   owner   online\n2   bob   member  offline"
    )
    reply = wire.ProfileReply(re=1, user=ANN, registered_at=AT, devices=1, friends=2, groups=0)
    assert rendering.profile(reply, CLOCK) == (
        "You are ann (1), since 2026-01-01: 2 friends, 0 groups, 1 device."
    )
    assert rendering.history(7, [an_entry(1, BOB, "hi")], True, a_roster(), CLOCK) == (
        "bob\n  … there is more before these 1.\n  00:01 bob: hi"
    )


# ------------------------------------------------------------------------------ stripping


def is_harmless(text: str) -> bool:
    return not any(
        character in TURNS
        or (character != "\n" and unicodedata.category(character) in ("Cc", "Cs"))
        for character in text
    )


DIRTY = st.text(
    st.characters() | st.sampled_from("\x1b\x07\x9b\r\n\t\x7f\u2028" + TURNS), max_size=60
)


@given(DIRTY)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert is_harmless(rendering.clean_text(text))
    line = rendering.clean(text)
    assert is_harmless(line)
    assert len(line.splitlines()) <= 1
    for character in line:
        assert character in text or character == " "


@given(DIRTY, DIRTY)
def test_nothing_reaches_a_screen_uncleaned(name: str, text: str) -> None:
    """Not even text that the protocol forbids: a node may send it."""
    roster = a_roster()
    user = wire.User(id=5, name=name)
    friend = wire.Friend(
        id=5, name=name, state=wire.PresenceState.ONLINE, conversation=50, seq=0, read=0
    )
    group = wire.Group(
        id=60, name=name, description=text, role=wire.Role.OWNER, seq=1, read=0, since=1
    )
    roster.put_friend(friend)
    roster.put_group(group)
    roster.put_request(wire.User(id=6, name=name))
    entries = [an_entry(1, user, text), an_entry(2, user, "", wire.EntryKind.LEFT)]
    member = wire.Member(id=5, name=name, role=wire.Role.OWNER, state=wire.PresenceState.ONLINE)
    roster_notices: tuple[notices.RosterNotice, ...] = (
        notices.FriendRequested(user),
        notices.RequestWithdrawn(user),
        notices.FriendAdded(friend),
        notices.FriendRemoved(friend),
        notices.PresenceChanged(friend),
        notices.GroupAdded(group),
        notices.GroupChanged(group),
        notices.GroupRemoved(group),
    )
    shown = [
        rendering.login_screen(user, roster),
        rendering.backlog({50: entries, 60: entries}, roster, CLOCK),
        rendering.history(60, entries, True, roster, CLOCK),
        rendering.entry_line(60, entries[0], roster, CLOCK),
        rendering.members(60, (member,), roster),
        *(rendering.roster_change(notice) for notice in roster_notices),
    ]
    for one in shown:
        assert is_harmless(one)
        assert text.isascii() or "\u2028" not in one


@given(st.lists(st.tuples(DIRTY, DIRTY), max_size=5))
def test_columns_are_aligned_whatever_is_in_them(rows: list[tuple[str, str]]) -> None:
    marked = [(first, "|" + second) for first, second in rows]
    lines = rendering.table(("A", "|"), marked).split("\n")
    starts = {wcswidth(line[: line.rindex("|")] if line.count("|") == 1 else "") for line in lines}
    assert len(lines) == len(rows) + 1
    if all("|" not in first and "|" not in second for first, second in rows):
        assert len(starts) == 1
