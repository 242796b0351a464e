"""Friends, requests for friendship, and blocks.

A friendship is two rows, one from each side; a request is one of them alone. When the second
comes, both get the number of the conversation between the two, which is made once and lasts, and
both users become its members, until the friendship ends. Every change of which of them may write to
it raises its `access_version`.

Every change here locks the row of that conversation, if there is one, and then the rows of both
users. So the relationship of two users cannot change under any one of these locks: an append
needs only the conversation's.
"""

from typing import Final

from chat.core.ports.operations import (
    AddFriend,
    Block,
    FriendshipChanged,
    RemoveFriend,
    RosterVersion,
    Unblock,
)
from chat.protocol.messages import User
from chat.protocol.rules import DirectAction
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.transactions.access import MEMBER, Relationship, allow_direct, read_relationship
from chat.storage.transactions.rosters import find_user, load_roster, lock_users, raise_versions
from chat.storage.transactions.tables import Transactions


def add_friend(connection: DatabaseConnection, operation: AddFriend) -> FriendshipChanged:
    user, other = operation.user, find_user(connection, operation.other)
    conversation, relationship = _lock_and_check(connection, user, other, DirectAction.ADD_FRIEND)
    touched: tuple[RosterVersion, ...] = ()
    if not relationship.asked:
        if relationship.answered:
            conversation = _befriend(connection, user, other.id, conversation)
            touched = raise_versions(connection, (user, other.id))
        else:
            touched = raise_versions(connection, (other.id,))
        connection.execute(
            "INSERT INTO friendships (user_id, friend_id, conversation_id, asked_ms)"
            " VALUES (?, ?, ?, ?)",
            (user, other.id, conversation if relationship.answered else None, operation.at_ms),
        )
    return FriendshipChanged(load_roster(connection, user), touched)


def remove_friend(connection: DatabaseConnection, operation: RemoveFriend) -> FriendshipChanged:
    user, other = operation.user, find_user(connection, operation.other)
    conversation, relationship = _lock_and_check(
        connection, user, other, DirectAction.REMOVE_FRIEND
    )
    # A request is in the roster of the user who was asked, and in no other.
    has_request = ((user, relationship.answered), (other.id, relationship.asked))
    changed = [id for id, is_asked in has_request if is_asked]
    connection.execute(
        "DELETE FROM friendships"
        " WHERE (user_id = ? AND friend_id = ?) OR (user_id = ? AND friend_id = ?)",
        (user, other.id, other.id, user),
    )
    if conversation is not None:
        connection.execute("DELETE FROM members WHERE conversation_id = ?", (conversation,))
        _raise_access_version(connection, conversation)
    touched = raise_versions(connection, changed)
    return FriendshipChanged(load_roster(connection, user), touched)


def block(connection: DatabaseConnection, operation: Block) -> FriendshipChanged:
    user, other = operation.user, find_user(connection, operation.other)
    conversation, _ = _lock_and_check(connection, user, other, DirectAction.BLOCK)
    row = (user, other.id)
    if not connection.query("SELECT user_id FROM blocks WHERE user_id = ? AND blocked_id = ?", row):
        connection.execute("INSERT INTO blocks (user_id, blocked_id) VALUES (?, ?)", row)
        _raise_access_version(connection, conversation)
    return FriendshipChanged(load_roster(connection, user), ())


def unblock(connection: DatabaseConnection, operation: Unblock) -> FriendshipChanged:
    user, other = operation.user, find_user(connection, operation.other)
    conversation, _ = _lock_and_check(connection, user, other, DirectAction.UNBLOCK)
    connection.execute("DELETE FROM blocks WHERE user_id = ? AND blocked_id = ?", (user, other.id))
    _raise_access_version(connection, conversation)
    return FriendshipChanged(load_roster(connection, user), ())


def _lock_and_check(
    connection: DatabaseConnection, user: int, other: User, action: DirectAction
) -> tuple[int | None, Relationship]:
    """Takes the locks and checks the access: the two users' conversation and relationship."""
    pair = (min(user, other.id), max(user, other.id))
    conversation = _lock_conversation(connection, pair)
    lock_users(connection, pair)
    if conversation is None:
        # It may have been made while this waited for the users.
        conversation = _lock_conversation(connection, pair)
    relationship = read_relationship(connection, user, other.id)
    allow_direct(relationship.role, action)
    return conversation, relationship


def _lock_conversation(connection: DatabaseConnection, pair: tuple[int, int]) -> int | None:
    rows = connection.query(
        "SELECT id FROM conversations WHERE low_user_id = ? AND high_user_id = ?"
        + connection.for_update,
        pair,
    )
    return rows[0][0] if rows else None


def _befriend(
    connection: DatabaseConnection, user: int, other: int, conversation: int | None
) -> int:
    """The other's request becomes half of a friendship; both join the conversation of the two."""
    head = 0
    if conversation is None:
        conversation = connection.insert(
            "INSERT INTO conversations"
            " (kind, head, name, description, closed, low_user_id, high_user_id)"
            " VALUES ('direct', 0, '', '', 0, ?, ?)",
            (min(user, other), max(user, other)),
        )
    else:
        rows = connection.query("SELECT head FROM conversations WHERE id = ?", (conversation,))
        head = rows[0][0]
        _raise_access_version(connection, conversation)
    connection.execute(
        "UPDATE friendships SET conversation_id = ? WHERE user_id = ? AND friend_id = ?",
        (conversation, other, user),
    )
    connection.execute(
        "INSERT INTO members (conversation_id, user_id, role, since_seq, read_seq)"
        " VALUES (?, ?, ?, 1, ?), (?, ?, ?, 1, ?)",
        (conversation, user, MEMBER, head, conversation, other, MEMBER, head),
    )
    return conversation


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
