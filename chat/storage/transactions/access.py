"""What users are to each other and to groups, and what that allows: the generated access tables
decide, and these functions look it up in them."""

from typing import Final, NamedTuple

from chat.core.ports.operations import LimitReached, Refused
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Role
from chat.protocol.rules import (
    DIRECT_ACCESS,
    GROUP_ACCESS,
    DirectAction,
    DirectRole,
    GroupAction,
    GroupRole,
)
from chat.storage.backends.connection import DatabaseConnection

OWNER: Final = str(Role.OWNER.value)
MEMBER: Final = str(Role.MEMBER.value)
"""The roles as the table `members` has them: plain strings, as drivers take no enums."""

_GROUP_ROLES: Final = {OWNER: GroupRole.OWNER, MEMBER: GroupRole.MEMBER, None: GroupRole.OUTSIDER}


class Refusal(Exception):
    """Rolls the transaction back; the outcome of the operation is `refused`."""

    def __init__(self, code: ErrorCode, reached: LimitReached | None = None) -> None:
        super().__init__(code)
        self.refused = Refused(code, reached)


def group_refusal(role: str | None, action: GroupAction) -> ErrorCode | None:
    """Why the role may not do that in the group; None if it may. `role` as the table `members` has
    it, None without a row."""
    return GROUP_ACCESS[_GROUP_ROLES[role]][action]


def allow_group(role: str | None, action: GroupAction) -> None:
    """Raises Refusal unless the role may do that in the group."""
    code = group_refusal(role, action)
    if code is not None:
        raise Refusal(code)


def direct_refusal(role: DirectRole, action: DirectAction) -> ErrorCode | None:
    """Why the role may not do that to the other user; None if it may."""
    return DIRECT_ACCESS[role][action]


def allow_direct(role: DirectRole, action: DirectAction) -> None:
    """Raises Refusal unless the role may do that to the other user."""
    code = direct_refusal(role, action)
    if code is not None:
        raise Refusal(code)


class Relationship(NamedTuple):
    """What two users are to each other: the role of one to the other, whether the one has asked for
    friendship, and whether the other has."""

    role: DirectRole
    asked: bool
    answered: bool


def read_relationship(connection: DatabaseConnection, user: int, other: int) -> Relationship:
    """What `other` is to `user`. Final only under the lock of both users' rows or of the row of
    their conversation."""
    if user == other:
        return Relationship(DirectRole.SELF, False, False)
    pair = (user, other, other, user)
    asking = {
        asker
        for (asker,) in connection.query(
            "SELECT user_id FROM friendships"
            " WHERE (user_id = ? AND friend_id = ?) OR (user_id = ? AND friend_id = ?)",
            pair,
        )
    }
    blocks = connection.query(
        "SELECT user_id FROM blocks"
        " WHERE (user_id = ? AND blocked_id = ?) OR (user_id = ? AND blocked_id = ?)",
        pair,
    )
    if len(asking) == 2:
        role = DirectRole.BLOCKED_FRIEND if blocks else DirectRole.FRIEND
    elif blocks:
        role = DirectRole.BLOCKED
    else:
        role = DirectRole.ASKED if asking else DirectRole.UNRELATED
    return Relationship(role, user in asking, other in asking)
