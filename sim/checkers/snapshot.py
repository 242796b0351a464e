"""The store at one instant, as far as every device must come to agree with it."""

from dataclasses import dataclass

from chat.storage.backends.connection import Connection


@dataclass(frozen=True)
class Snapshot:
    """`members` and `marks` are by user and conversation."""

    at_ms: int
    heads: dict[int, int]
    members: dict[tuple[int, int], int]
    """The number of the membership, which is another one after an end and a new beginning."""
    marks: dict[tuple[int, int], int]
    friends: dict[int, dict[int, int]]
    """By user: the conversation with each friend."""
    groups: dict[int, dict[int, str]]
    """By user: the role in each group."""
    requests: dict[int, set[int]]
    """By user: who asks to be a friend."""
    versions: dict[int, int]
    """By user: the roster's version, which tells of changes that were taken back."""


def snapshot(connection: Connection, now_ms: int) -> Snapshot:
    """Of a store that is audited (sim/checkers/audit.py)."""
    query = connection.query
    heads: dict[int, int] = {}
    is_group: set[int] = set()
    for id, kind, head in query("SELECT id, kind, head FROM conversations"):
        heads[id] = head
        if kind == "group":
            is_group.add(id)
    versions: dict[int, int] = dict(query("SELECT id, roster_version FROM users"))
    taken = Snapshot(now_ms, heads, {}, {}, {}, {}, {}, versions)
    for number, user, conversation in query(
        "SELECT rowid, user_id, conversation_id FROM spans WHERE last IS NULL"
    ):
        taken.members[user, conversation] = number
    rows = query("SELECT user_id, conversation_id, role, read_seq FROM members")
    for user, conversation, role, read in rows:
        taken.marks[user, conversation] = read
        if conversation in is_group:
            taken.groups.setdefault(user, {})[conversation] = role
    for user, friend, conversation in query(
        "SELECT user_id, friend_id, conversation_id FROM friendships"
    ):
        if conversation is not None:
            taken.friends.setdefault(user, {})[friend] = conversation
        else:
            taken.requests.setdefault(friend, set()).add(user)
    return taken
