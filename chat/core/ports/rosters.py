"""A user's roster, and what one transaction changes in it.

A roster has a version, which grows by one with every change of the user's friends, groups or
requests, inside the transaction that makes the change. So a roster of version n and the change to
version n + 1 make the roster of version n + 1, whatever way the change came; and a node that has
missed a change can tell.
"""

from msgspec import Struct

from chat.protocol.messages import Group, User


class FriendRow(Struct, frozen=True, gc=False):
    """A friend of the roster's user. `seq` is the head of their conversation, `read` how far the
    roster's user has read it."""

    id: int
    name: str
    conversation: int
    seq: int
    read: int


class Roster(Struct, frozen=True):
    """All that a user's devices must know: friends, groups, and open friend requests."""

    user: User
    version: int
    friends: tuple[FriendRow, ...]
    groups: tuple[Group, ...]
    requests: tuple[User, ...]


class RosterChange(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a transaction changed in the roster of `user`, whose version is `version` after it.

    Of the other fields, one is set.
    """

    user: int
    version: int
    friend: FriendRow | None = None
    """A friend that was made. That friend's request, if there was one, is open no longer."""
    friend_removed: int | None = None
    """This user is no friend any more, or has an open request no more."""
    request: User | None = None
    """A user who asks to be friends."""
    group: Group | None = None
    """A group that the user has become a member of; or a group of the user's, as it is now."""
    group_removed: int | None = None
    """A group that the user is a member of no more."""
