"""The text that a user reads: tables, entries, changes of the roster. Pure: data in, text out.

Names and texts that came from a node are cleaned before they are shown: other users chose them, and
a terminal obeys the control characters in them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from wcwidth import wcswidth

from chat.client.session.ports import notices
from chat.client.session.roster import Roster
from chat.protocol.messages import (
    Entry,
    EntryKind,
    Friend,
    Group,
    Member,
    ProfileReply,
    Role,
    User,
)

_UNSAFE: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NEWLINE: Final = re.compile("\r\n|[\x85\u2028\u2029]")


def clean_text(text: str) -> str:
    """Without control characters (newlines stay, tabs become spaces) and without characters that
    change the reading direction."""
    return _UNSAFE.sub("", _NEWLINE.sub("\n", text).replace("\t", "    "))


def clean(text: str) -> str:
    """As clean_text, but on one line."""
    return _UNSAFE.sub("", _NEWLINE.sub("\n", text).replace("\t", " ")).replace("\n", " ")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns; a wide character counts as two."""
    cells = [list(headers), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(headers))]
    lines = []
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


_MEASURED_AT_ONCE: Final = 256
"""The length of the longest cell. wcswidth takes quadratic time on a run of flags."""


def _width(text: str) -> int:
    total = 0
    for start in range(0, len(text), _MEASURED_AT_ONCE):
        part = text[start : start + _MEASURED_AT_ONCE]
        width = wcswidth(part)
        total += width if width >= 0 else len(part)
    return total


@dataclass(frozen=True)
class Clock:
    """Times in the local zone. `now` and `zone` are given in tests."""

    now: datetime | None = None
    zone: tzinfo | None = None

    def show(self, at_ms: int) -> str:
        """HH:MM, with the date if it is not today."""
        try:
            at = datetime.fromtimestamp(at_ms / 1000, self.zone)
        except (ValueError, OverflowError, OSError):
            return "??:??"
        today = (self.now or datetime.now(self.zone)).date()
        return at.strftime("%H:%M" if at.date() == today else "%Y-%m-%d %H:%M")

    def day(self, at_ms: int) -> str:
        try:
            return datetime.fromtimestamp(at_ms / 1000, self.zone).strftime("%Y-%m-%d")
        except (ValueError, OverflowError, OSError):
            return "????-??-??"


# ------------------------------------------------------------------------------- the roster


def user_title(user: User | Friend) -> str:
    return f"{clean(user.name)} ({user.id})"


def group_title(group: Group) -> str:
    return f"{clean(group.name)} ({group.id})"


def login_screen(user: User, roster: Roster) -> str:
    return f"Logged in as {user_title(user)}.\n\n{roster_lists(roster)}"


def roster_lists(roster: Roster) -> str:
    """Friends, groups and open friend requests."""
    parts = []
    if roster.friends:
        rows = [(str(one.id), one.name, str(one.state)) for one in roster.friends.values()]
        parts.append("Friends\n" + table(("ID", "NAME", "STATE"), rows))
    else:
        parts.append("Friends\nnone yet: addfriend:ID asks somebody.")
    if roster.groups:
        groups = [(str(one.id), one.name, one.description) for one in roster.groups.values()]
        parts.append("Groups\n" + table(("ID", "NAME", "DESC"), groups))
    else:
        parts.append("Groups\nnone yet: creategroup:NAME:DESC makes one, joingroup:ID joins one.")
    if roster.requests:
        parts.append(requests(roster))
    return "\n\n".join(parts)


def requests(roster: Roster) -> str:
    if not roster.requests:
        return "Nobody waits for an answer to a friend request."
    rows = [(str(one.id), one.name) for one in roster.requests.values()]
    answer = "addfriend:ID says yes, removefriend:ID says no."
    return "Friend requests\n" + table(("ID", "NAME"), rows) + "\n" + answer


def members(group: int, of_group: Sequence[Member], roster: Roster) -> str:
    known = roster.groups.get(group)
    title = group_title(known) if known else f"Group {group}"
    rows = [(str(one.id), one.name, str(one.role), str(one.state)) for one in of_group]
    return f"{title}\n" + table(("ID", "NAME", "ROLE", "STATE"), rows)


def profile(reply: ProfileReply, clock: Clock) -> str:
    counts = ", ".join(
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in (
            (reply.friends, "friend"),
            (reply.groups, "group"),
            (reply.devices, "device"),
        )
    )
    return f"You are {user_title(reply.user)}, since {clock.day(reply.registered_at)}: {counts}."


# ------------------------------------------------------------------------------- entries


def title(conversation: int, roster: Roster) -> str:
    """The name of a conversation; of a group in brackets."""
    match roster.conversations.get(conversation):
        case Group(name=name):
            return f"[{clean(name)}]"
        case Friend(name=name):
            return clean(name)
        case _:
            return f"[{conversation}]"


def entry_line(
    conversation: int, entry: Entry, roster: Roster, clock: Clock, *, titled: bool = True
) -> str:
    """One entry. `titled`: with its conversation, unless that follows from the author."""
    own = roster.user is not None and entry.from_.id == roster.user.id
    author = "you" if own else clean(entry.from_.name)
    between_two = isinstance(roster.conversations.get(conversation), Friend)
    if titled and between_two and own:
        author += f" to {title(conversation, roster)}"
    elif titled and not between_two:
        author = f"{title(conversation, roster)} {author}"
    start = f"{clock.show(entry.at)} {author}"
    if entry.kind is EntryKind.RENAMED:
        return f"{start} renamed the group to {clean(entry.text)}."
    if entry.kind is not EntryKind.TEXT:
        return f"{start} {_NOT_TEXTS[entry.kind][own]}"
    return f"{start}: " + clean_text(entry.text).replace("\n", "\n" + " " * 6)


_NOT_TEXTS: Final[Mapping[EntryKind, tuple[str, str]]] = {
    EntryKind.JOINED: ("joined.", "joined."),
    EntryKind.LEFT: ("left.", "left."),
    EntryKind.PROMOTED: ("is the owner now.", "are the owner now."),
    EntryKind.DELETED: ("ended the group.", "ended the group."),
}
"""What an entry of this kind says: of another user, and of this one."""


def backlog(entries: Mapping[int, Sequence[Entry]], roster: Roster, clock: Clock) -> str:
    """The entries that came while the user was not logged in, by conversation."""
    lines = ["While you were away"]
    for conversation, of_conversation in entries.items():
        lines.append(f"  {title(conversation, roster)}")
        for entry in of_conversation:
            line = entry_line(conversation, entry, roster, clock, titled=False)
            lines.append("    " + line.replace("\n", "\n    "))
    return "\n".join(lines)


def history(
    conversation: int, entries: Sequence[Entry], more: bool, roster: Roster, clock: Clock
) -> str:
    if not entries:
        return f"Nothing was said in {title(conversation, roster)} yet."
    lines = [
        entry_line(conversation, entry, roster, clock, titled=False).replace("\n", "\n  ")
        for entry in entries
    ]
    if more:
        lines.insert(0, f"… there is more before these {len(entries)}.")
    return "\n".join([title(conversation, roster), *(f"  {line}" for line in lines)])


# ------------------------------------------------------------------------------- changes


def roster_change(notice: notices.RosterNotice) -> str:
    """One line on a change of the roster."""
    match notice:
        case notices.FriendRequested(user):
            answer = f"addfriend:{user.id} says yes, removefriend:{user.id} says no."
            return f"{user_title(user)} asks to be your friend: {answer}"
        case notices.RequestWithdrawn(user):
            return f"{user_title(user)} does not ask to be your friend any more."
        case notices.FriendAdded(friend):
            return f"{user_title(friend)} and you are friends now."
        case notices.FriendRemoved(friend):
            return f"{user_title(friend)} and you are not friends any more."
        case notices.PresenceChanged(friend):
            return f"{clean(friend.name)} is {friend.state}."
        case notices.GroupAdded(group):
            return f"You are in the group {group_title(group)} now."
        case notices.GroupChanged(group):
            what = "own it" if group.role is Role.OWNER else "are a member"
            return f"The group {group_title(group)} changed; you {what}."
        case notices.GroupRemoved(group):
            return f"You are not in the group {group_title(group)} any more."
