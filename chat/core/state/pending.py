"""What a node remembers of each operation it has asked for: who waits, and what for.

A record goes under a ticket when the Query leaves, and is looked up when the Answer comes; whoever
waited may be gone by then. Records are plain data. `LoginSubscribed`, `ResumeSubscribed` and
`GroupConfirmed` wait for a channel's confirmation instead.
"""

from msgspec import Struct

from chat.core.ports.operations import Append, MemberRow
from chat.protocol.messages import User


class Pending(Struct, frozen=True, gc=False):
    """Base of all records."""


class Waiter(Pending, frozen=True, gc=False):
    """A record with a request behind it: its connection and the request's id."""

    connection: int
    re: int


# ---------------------------------------------------------------- register, login, resume


class RegisterHash(Waiter, frozen=True, gc=False):
    name: str


class RegisterStore(Waiter, frozen=True, gc=False):
    pass


class LoginFind(Waiter, frozen=True, gc=False):
    password: str
    attempt: tuple[str, str]
    """The account as it was named, and the address: whom failures are counted by."""


class LoginCheck(Waiter, frozen=True, gc=False):
    user: User | None
    attempt: tuple[str, str]


class LoginSubscribed(Waiter, frozen=True, gc=False):
    user: int
    token: str


class ResumeFind(Waiter, frozen=True, gc=False):
    token: str
    cursors: dict[int, int]


class ResumeSubscribed(Waiter, frozen=True, gc=False):
    user: int
    token: str
    cursors: dict[int, int]


class EntranceRoster(Waiter, frozen=True, gc=False):
    """`cursors` is None after a login: the backlog starts at what was read."""

    token: str
    cursors: dict[int, int] | None


class EntrancePresence(Waiter, frozen=True, gc=False):
    user: int
    token: str
    cursors: dict[int, int] | None


# ---------------------------------------------------------------- requests of those logged in


class LogoutAsked(Waiter, frozen=True, gc=False):
    pass


class ProfileAsked(Waiter, frozen=True, gc=False):
    pass


class SnapshotAsked(Waiter, frozen=True, gc=False):
    user: int


class AppendAsked(Waiter, frozen=True, gc=False):
    sender_name: str
    append: Append


class FriendshipAsked(Waiter, frozen=True, gc=False):
    user: int


class GroupAsked(Waiter, frozen=True, gc=False):
    """`reply` names what a success is answered by: group_created, joined or done."""

    user: int
    reply: str


class MembersAsked(Waiter, frozen=True, gc=False):
    group: int


class MembersPresence(Waiter, frozen=True, gc=False):
    group: int
    members: tuple[MemberRow, ...]


class HistoryAsked(Waiter, frozen=True, gc=False):
    user: int
    conversation: int


class ReadAsked(Waiter, frozen=True, gc=False):
    user: int
    conversation: int


# ---------------------------------------------------------------- the node's own


class LogPage(Pending, frozen=True, gc=False):
    """A read of a conversation's log for the cohort at `after`."""

    conversation: int
    after: int


class HeadsCompared(Pending, frozen=True, gc=False):
    sweep: bool


class GroupConfirmed(Pending, frozen=True, gc=False):
    """A group's channel is heard; only now its head can be compared."""

    conversation: int


class RosterRefreshed(Pending, frozen=True, gc=False):
    user: int


class StatesCompared(Pending, frozen=True, gc=False):
    """The presence of all friends that these users had then was asked for."""

    users: tuple[int, ...]
    friends: tuple[int, ...]


class LastSeen(Pending, frozen=True, gc=False):
    """Whether a user who left this node is online on another one."""

    user: int
    friends: tuple[int, ...]
