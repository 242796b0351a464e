"""The logs in the store: a log is exactly 1..head, and a group follows from its log.

The checkers read the store past all nodes, on its own connection.
"""

from chat.protocol.messages import EntryKind, Role
from chat.storage.backends.connection import DatabaseConnection
from sim.checkers import Violation

FOLLOWS = "a group follows from its log"


class Log:
    """The store's entries."""

    def __init__(self, connection: DatabaseConnection) -> None:
        self._connection = connection

    def entry(self, conversation: int, seq: int) -> tuple[int, str, str, str | None] | None:
        """Sender, kind, text and key of an entry."""
        rows = self._connection.query(
            "SELECT sender_id, kind, text, `key` FROM entries "
            "WHERE conversation_id = ? AND seq = ?",
            (conversation, seq),
        )
        if not rows:
            return None
        sender, kind, text, key = rows[0]
        return int(str(sender)), str(kind), str(text), None if key is None else str(key)

    def heads(self) -> dict[int, int]:
        rows = self._connection.query("SELECT id, head FROM conversations", ())
        return {int(str(id)): int(str(head)) for id, head in rows}

    def has_key(self, key: str) -> bool:
        return bool(self._connection.query("SELECT seq FROM entries WHERE `key` = ?", (key,)))

    def texts(self) -> dict[tuple[int, str], int]:
        """By sender and text: how often it was stored."""
        rows = self._connection.query(
            "SELECT sender_id, text, COUNT(*) FROM entries WHERE kind = 'text' "
            "GROUP BY sender_id, text",
            (),
        )
        return {(int(str(sender)), str(text)): int(str(count)) for sender, text, count in rows}


def check_logs(log: Log, connection: DatabaseConnection) -> None:
    """A log is exactly 1..head; a sender's key is stored at most once. Raises Violation."""
    rows = connection.query(
        "SELECT conversation_id, COUNT(*), MIN(seq), MAX(seq) FROM entries "
        "GROUP BY conversation_id",
        (),
    )
    heads = log.heads()
    for conversation, count, first, last in rows:
        head = heads[int(str(conversation))]
        if (first, last, count) != (1, head, head):
            raise Violation(
                "a log is exactly 1..head",
                f"{conversation} has {count} entries from {first} to {last}, head {head}",
            )
    doubled = connection.query(
        "SELECT sender_id, `key`, COUNT(*) FROM entries WHERE `key` IS NOT NULL "
        "GROUP BY sender_id, `key` HAVING COUNT(*) > 1",
        (),
    )
    if doubled:
        sender, key, count = doubled[0]
        raise Violation("a key is stored at most once", f"{key} of user {sender} {count} times")


# ---------------------------------------------------------------------- groups


class _GroupState:
    """A group after the entries read so far. `members` are in the order of their joining."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.members: list[int] = []
        self.owner: int | None = None
        self.name: str | None = None
        """As the last entry that renamed it says."""
        self.heir: int | None = None
        """The user whom the next entry must promote."""

    def apply(self, seq: int, kind: str, user: int, text: str) -> None:
        place = f"{self.group}/{seq}"
        if (self.heir is not None) != (kind == EntryKind.PROMOTED):
            raise Violation(FOLLOWS, f"{kind} at {place}, but {self.heir} was to inherit")
        if kind == EntryKind.PROMOTED:
            if user != self.heir:
                raise Violation(FOLLOWS, f"{user} inherits at {place}, and not {self.heir}")
            self.owner, self.heir = user, None
        elif kind == EntryKind.JOINED:
            if user in self.members:
                raise Violation(FOLLOWS, f"{user} joins at {place}, and is in it")
            self.members.append(user)
            self.owner = self.owner or user
        elif user not in self.members:
            raise Violation(FOLLOWS, f"{kind} by {user} at {place}, who is not in it")
        elif kind == EntryKind.LEFT:
            self._left(user)
        elif kind == EntryKind.DELETED:
            if user != self.owner:
                raise Violation("only an owner ends a group", f"{user} at {place}")
            self.members, self.owner = [], None
        elif kind == EntryKind.RENAMED:
            if user != self.owner:
                raise Violation("only an owner renames a group", f"{user} at {place}")
            self.name = text

    def _left(self, user: int) -> None:
        self.members.remove(user)
        if user == self.owner:
            self.owner = None
            self.heir = self.members[0] if self.members else None

    def roles(self) -> dict[int, str]:
        return {
            user: str((Role.OWNER if user == self.owner else Role.MEMBER).value)
            for user in self.members
        }


def check_groups(connection: DatabaseConnection) -> None:
    """The members of each group and their roles are what its log says. Raises Violation."""
    groups: dict[int, _GroupState] = {}
    for (group,) in connection.query("SELECT id FROM conversations WHERE kind = 'group'"):
        groups[group] = _GroupState(group)
    rows = connection.query(
        "SELECT e.conversation_id, e.seq, e.kind, e.sender_id, e.text FROM entries e"
        " JOIN conversations c ON c.id = e.conversation_id WHERE c.kind = 'group'"
        " ORDER BY e.conversation_id, e.seq"
    )
    for group, seq, kind, user, text in rows:
        groups[group].apply(seq, kind, user, text)
    stored: dict[int, dict[int, str]] = {group: {} for group in groups}
    rows = connection.query("SELECT conversation_id, user_id, role FROM members")
    for group, user, role in rows:
        if group in stored:
            stored[group][user] = role
    names: dict[int, str] = dict(
        connection.query("SELECT id, name FROM conversations WHERE kind = 'group'")
    )
    for group, state in groups.items():
        if state.name not in (None, names[group]):
            raise Violation(FOLLOWS, f"{group} is {names[group]}, by its log {state.name}")
        if stored[group] != state.roles():
            raise Violation(FOLLOWS, f"{group} has {stored[group]}, by its log {state.roles()}")
