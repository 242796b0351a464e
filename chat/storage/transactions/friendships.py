"""Friends, requests for friendship, and blocks.

A friendship is two rows, one from each side; a request is one of them alone. When the second
comes, both get the number of the conversation between the two, which is made once and lasts, and
both users become its members, until the friendship ends. Every change of which of them may write to
it raises its `access_version`.

Every change here locks the row of that conversation, if there is one, and then the rows of both
users. So the relationship of two users cannot change under any one of these locks: an append
needs only the conversation's.
"""

from typing import Final, NamedTuple

from chat.core.ports.operations import (
    AddFriend,
    Block,
    FriendshipChanged,
    RemoveFriend,
    Unblock,
    UserLimit,
)
from chat.core.ports.rosters import FriendRow, RosterChange
from chat.protocol.messages import User
from chat.protocol.rules import DirectAction
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.transactions.access import MEMBER, Relationship, allow_direct, read_relationship
from chat.storage.transactions.limits import check_limit
from chat.storage.transactions.rosters import find_user, lock_users, raise_versions
from chat.storage.transactions.tables import Transactions


def add_friend(connection: DatabaseConnection, operation: AddFriend) -> FriendshipChanged:
    other = find_user(connection, operation.other)
    pair = _lock_and_check(connection, operation.user, other, DirectAction.ADD_FRIEND)
    if pair.relationship.asked:
        return FriendshipChanged(())
    conversation: int | None = None
    if pair.relationship.answered:
        conversation, changes = _befriend(connection, pair)
    else:
        made, received = UserLimit.OPEN_REQUESTS_MADE, UserLimit.OPEN_REQUESTS_RECEIVED
        check_limit(connection, made, operation.most_made, pair.user.id)
        check_limit(connection, received, operation.most_received, other.id)
        versions = raise_versions(connection, (other.id,))
        changes = (RosterChange(other.id, versions[other.id], request=pair.user),)
    connection.execute(
        "INSERT INTO friendships (user_id, friend_id, conversation_id, asked_ms)"
        " VALUES (?, ?, ?, ?)",
        (pair.user.id, other.id, conversation, operation.at_ms),
    )
    return FriendshipChanged(changes)


def remove_friend(connection: DatabaseConnection, operation: RemoveFriend) -> FriendshipChanged:
    other = find_user(connection, operation.other)
    pair = _lock_and_check(connection, operation.user, other, DirectAction.REMOVE_FRIEND)
    user = pair.user
    # A request is in the roster of the user who was asked, and in no other.
    has_request = (
        (user.id, other.id, pair.relationship.answered),
        (other.id, user.id, pair.relationship.asked),
    )
    removed = {id: asker for id, asker, is_asked in has_request if is_asked}
    connection.execute(
        "DELETE FROM friendships"
        " WHERE (user_id = ? AND friend_id = ?) OR (user_id = ? AND friend_id = ?)",
        (user.id, other.id, other.id, user.id),
    )
    conversation = pair.conversation
    if conversation is not None:
        connection.execute("DELETE FROM members WHERE conversation_id = ?", (conversation,))
        _raise_access_version(connection, conversation)
    versions = raise_versions(connection, removed)
    return FriendshipChanged(
        tuple(
            RosterChange(id, version, friend_removed=removed[id])
            for id, version in versions.items()
        )
    )


def block(connection: DatabaseConnection, operation: Block) -> FriendshipChanged:
    other = find_user(connection, operation.other)
    pair = _lock_and_check(connection, operation.user, other, DirectAction.BLOCK)
    row = (operation.user, other.id)
    if not connection.query("SELECT user_id FROM blocks WHERE user_id = ? AND blocked_id = ?", row):
        connection.execute("INSERT INTO blocks (user_id, blocked_id) VALUES (?, ?)", row)
        _raise_access_version(connection, pair.conversation)
    return FriendshipChanged(())


def unblock(connection: DatabaseConnection, operation: Unblock) -> FriendshipChanged:
    user, other = operation.user, find_user(connection, operation.other)
    pair = _lock_and_check(connection, user, other, DirectAction.UNBLOCK)
    connection.execute("DELETE FROM blocks WHERE user_id = ? AND blocked_id = ?", (user, other.id))
    _raise_access_version(connection, pair.conversation)
    return FriendshipChanged(())


class _Pair(NamedTuple):
    """Two users whose rows are locked, the number of their conversation, if they ever had one, and
    what the other is to the user."""

    user: User
    other: User
    conversation: int | None
    relationship: Relationship


def _lock_and_check(
    connection: DatabaseConnection, user: int, other: User, action: DirectAction
) -> _Pair:
    """Takes the locks and checks the access."""
    ids = (min(user, other.id), max(user, other.id))
    conversation = _lock_conversation(connection, ids)
    users = lock_users(connection, ids)
    if conversation is None:
        # It may have been made while this waited for the users.
        conversation = _lock_conversation(connection, ids)
    relationship = read_relationship(connection, user, other.id)
    allow_direct(relationship.role, action)
    return _Pair(users[user], other, conversation, relationship)


def _lock_conversation(connection: DatabaseConnection, pair: tuple[int, int]) -> int | None:
    rows = connection.query(
        "SELECT id FROM conversations WHERE low_user_id = ? AND high_user_id = ?"
        + connection.for_update,
        pair,
    )
    return rows[0][0] if rows else None


def _befriend(connection: DatabaseConnection, pair: _Pair) -> tuple[int, tuple[RosterChange, ...]]:
    """The other's request becomes half of a friendship; both join the conversation of the two. Its
    number, and the changes of their rosters."""
    user, other = pair.user, pair.other
    head, conversation = 0, pair.conversation
    if conversation is None:
        conversation = connection.insert(
            "INSERT INTO conversations"
            " (kind, head, name, description, closed, low_user_id, high_user_id)"
            " VALUES ('direct', 0, '', '', 0, ?, ?)",
            (min(user.id, other.id), max(user.id, other.id)),
        )
    else:
        rows = connection.query("SELECT head FROM conversations WHERE id = ?", (conversation,))
        head = rows[0][0]
        _raise_access_version(connection, conversation)
    connection.execute(
        "UPDATE friendships SET conversation_id = ? WHERE user_id = ? AND friend_id = ?",
        (conversation, other.id, user.id),
    )
    connection.execute(
        "INSERT INTO members (conversation_id, user_id, role, since_seq, read_seq)"
        " VALUES (?, ?, ?, 1, ?), (?, ?, ?, 1, ?)",
        (conversation, user.id, MEMBER, head, conversation, other.id, MEMBER, head),
    )
    friends = {user.id: other, other.id: user}
    versions = raise_versions(connection, friends)
    return conversation, tuple(
        RosterChange(
            id,
            version,
            friend=FriendRow(friends[id].id, friends[id].name, conversation, head, head),
        )
        for id, version in versions.items()
    )


def _raise_access_version(connection: DatabaseConnection, conversation: int | None) -> None:
    """Which users may write there has changed, or may have."""
    if conversation is not None:
        connection.execute(
            "UPDATE conversations SET access_version = access_version + 1 WHERE id = ?",
            (conversation,),
        )


WRITES: Final[Transactions] = {
    AddFriend: add_friend,
    RemoveFriend: remove_friend,
    Block: block,
    Unblock: unblock,
}
