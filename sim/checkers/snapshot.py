"""A snapshot of the store: everything that the devices must come to agree with, at one instant."""

from dataclasses import dataclass

from chat.storage.backends.connection import DatabaseConnection


@dataclass(frozen=True)
class Snapshot:
    """`members` and `marks` are by user and conversation."""

    at_ms: int
    heads: dict[int, int]
    members: dict[tuple[int, int], int]
    """The number of the membership; a user who leaves and joins again gets another one."""
    marks: dict[tuple[int, int], int]
    friends: dict[int, dict[int, int]]
    """By user: the conversation with each friend."""
    groups: dict[int, dict[int, tuple[str, str]]]
    """By user: the role in each group, and the group's name."""
    requests: dict[int, set[int]]
    """By user: the users who ask to be friends."""
    versions: dict[int, int]
    """By user: the roster's version, which shows changes that were undone again, too."""


def take_snapshot(connection: DatabaseConnection, now_ms: int) -> Snapshot:
    """Takes a snapshot. The store must be audited (sim/checkers/audit.py): memberships are read
    from the audit's tables."""
    query = connection.query
    heads: dict[int, int] = {}
    group_names: dict[int, str] = {}
    for id, kind, head, name in query("SELECT id, kind, head, name FROM conversations"):
        heads[id] = head
        if kind == "group":
            group_names[id] = name
    versions: dict[int, int] = dict(query("SELECT id, roster_version FROM users"))
    snapshot = Snapshot(now_ms, heads, {}, {}, {}, {}, {}, versions)
    for number, user, conversation in query(
        "SELECT rowid, user_id, conversation_id FROM spans WHERE last IS NULL"
    ):
        snapshot.members[user, conversation] = number
    rows = query("SELECT user_id, conversation_id, role, read_seq FROM members")
    for user, conversation, role, read in rows:
        snapshot.marks[user, conversation] = read
        if conversation in group_names:
            group = role, group_names[conversation]
            snapshot.groups.setdefault(user, {})[conversation] = group
    for user, friend, conversation in query(
        "SELECT user_id, friend_id, conversation_id FROM friendships"
    ):
        if conversation is not None:
            snapshot.friends.setdefault(user, {})[friend] = conversation
        else:
            snapshot.requests.setdefault(friend, set()).add(user)
    return snapshot
