"""Rosters: what a user's devices must know, and the version that says whether it changed.

A roster's version grows by one in the very transaction that changes the user's friends, groups
or open requests, under the lock of the user's row, and at no other time. Heads and read marks
stand in the roster for convenience and do not count as changes.

Rows of users are locked in the order of their numbers, and after any conversation's.
"""

from collections.abc import Iterable, Sequence

from chat.core.ports.operations import (
    FriendRow,
    HeadsRead,
    ProfileRead,
    ReadHeads,
    ReadProfile,
    ReadRoster,
    Refused,
    Roster,
    RosterRead,
    Touched,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Group, Role, User
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sql import CHUNK, marks, query_in_chunks
from chat.storage.transactions.access import Refusal


def find_user(connection: DatabaseConnection, ref: int | str) -> User:
    """By number or by name, whatever its case. Raises Refusal(no_such_user)."""
    if isinstance(ref, str):
        rows = connection.query("SELECT id, name FROM users WHERE name_key = ?", (ref.lower(),))
    else:
        rows = connection.query("SELECT id, name FROM users WHERE id = ?", (ref,))
    if not rows:
        raise Refusal(ErrorCode.NO_SUCH_USER)
    return User(id=rows[0][0], name=rows[0][1])


def lock_users(connection: DatabaseConnection, users: Iterable[int]) -> dict[int, User]:
    """Locks the rows of users until the commit. Raises Refusal(no_such_user) if one is missing."""
    ids = sorted(set(users))
    rows = query_in_chunks(
        connection,
        "SELECT id, name FROM users WHERE id IN",
        ids,
        f" ORDER BY id{connection.for_update}",
    )
    if len(rows) < len(ids):
        raise Refusal(ErrorCode.NO_SUCH_USER)
    return {id: User(id=id, name=name) for id, name in rows}


def raise_versions(connection: DatabaseConnection, users: Iterable[int]) -> tuple[Touched, ...]:
    """The rosters of these users change in this transaction. Their rows must be locked."""
    ids = sorted(set(users))
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        connection.execute(
            "UPDATE users SET roster_version = roster_version + 1"
            f" WHERE id IN ({marks(len(chunk))})",
            chunk,
        )
    versions: dict[int, int] = dict(
        query_in_chunks(connection, "SELECT id, roster_version FROM users WHERE id IN", ids)
    )
    return tuple(Touched(id, versions[id]) for id in ids)


def load_roster(connection: DatabaseConnection, user: int) -> Roster:
    """Raises Refusal(no_such_user)."""
    roster = _load_rosters(connection, [user]).get(user)
    if roster is None:
        raise Refusal(ErrorCode.NO_SUCH_USER)
    return roster


def read_rosters(
    connection: DatabaseConnection, operations: Sequence[ReadRoster]
) -> list[RosterRead | Refused]:
    rosters = _load_rosters(connection, sorted({operation.user for operation in operations}))
    return [
        RosterRead(rosters[operation.user])
        if operation.user in rosters
        else Refused(ErrorCode.NO_SUCH_USER)
        for operation in operations
    ]


def _load_rosters(connection: DatabaseConnection, users: Sequence[int]) -> dict[int, Roster]:
    """By user, of those who exist."""
    ids = marks(len(users))
    # The versions come first: should the rest be newer than them, the rosters are read once more.
    pack, unpack = connection.pack, connection.unpack
    known, friends, groups, requests = connection.query_all(
        (f"SELECT {pack('id', 'roster_version', 'name')} FROM users WHERE id IN ({ids})", users),
        (
            f"SELECT {pack('f.user_id', 'u.id', 'u.name', 'c.id', 'c.head', 'm.read_seq')}"
            " FROM friendships f"
            " JOIN users u ON u.id = f.friend_id"
            " JOIN conversations c ON c.id = f.conversation_id"
            " JOIN members m ON m.conversation_id = c.id AND m.user_id = f.user_id"
            f" WHERE f.user_id IN ({ids}) ORDER BY u.id",
            users,
        ),
        (
            "SELECT m.user_id,"
            " c.id, c.name, c.description, m.role, c.head, m.read_seq, m.since_seq"
            " FROM members m JOIN conversations c ON c.id = m.conversation_id"
            f" WHERE m.user_id IN ({ids}) AND c.kind = 'group' ORDER BY c.id",
            users,
        ),
        (
            f"SELECT {pack('f.friend_id', 'u.id', 'u.name')}"
            " FROM friendships f JOIN users u ON u.id = f.user_id"
            f" WHERE f.friend_id IN ({ids}) AND f.conversation_id IS NULL"
            " ORDER BY f.asked_ms, u.id",
            users,
        ),
    )
    friends_of: dict[int, list[FriendRow]] = {}
    for user, friend, name, conversation, head, read in unpack(friends, 6):
        row = FriendRow(int(friend), name, int(conversation), int(head), int(read))
        friends_of.setdefault(int(user), []).append(row)
    groups_of: dict[int, list[Group]] = {}
    for user, id, name, description, role, head, read, since in groups:
        group = Group(
            id=id,
            name=name,
            description=description,
            role=Role(role),
            seq=head,
            read=read,
            since=since,
        )
        groups_of.setdefault(user, []).append(group)
    requests_of: dict[int, list[User]] = {}
    for user, asker, name in unpack(requests, 3):
        requests_of.setdefault(int(user), []).append(User(id=int(asker), name=name))
    return {
        int(user): Roster(
            user=User(id=int(user), name=name),
            version=int(version),
            friends=tuple(friends_of.get(int(user), ())),
            groups=tuple(groups_of.get(int(user), ())),
            requests=tuple(requests_of.get(int(user), ())),
        )
        for user, version, name in unpack(known, 3)
    }


def read_profile(connection: DatabaseConnection, operation: ReadProfile) -> ProfileRead:
    rows = connection.query(
        "SELECT u.id, u.name, u.registered_ms,"
        " (SELECT COUNT(*) FROM devices d WHERE d.user_id = u.id),"
        " (SELECT COUNT(*) FROM friendships f"
        " WHERE f.user_id = u.id AND f.conversation_id IS NOT NULL),"
        " (SELECT COUNT(*) FROM members m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE m.user_id = u.id AND c.kind = 'group')"
        " FROM users u WHERE u.id = ?",
        (operation.user,),
    )
    if not rows:
        raise Refusal(ErrorCode.NO_SUCH_USER)
    id, name, registered_ms, devices, friends, groups = rows[0]
    return ProfileRead(User(id=id, name=name), registered_ms, devices, friends, groups)


def read_heads(connection: DatabaseConnection, operation: ReadHeads) -> HeadsRead:
    conversations = query_in_chunks(
        connection, "SELECT id, head FROM conversations WHERE id IN", operation.conversations
    )
    users = query_in_chunks(
        connection, "SELECT id, roster_version FROM users WHERE id IN", operation.users
    )
    return HeadsRead(dict(conversations), dict(users))
