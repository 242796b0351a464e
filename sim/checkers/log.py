"""The logs in the store: what is in them, and what must be."""

from chat.core._generated.messages import EntryKind
from chat.storage.connection import Connection
from sim.checkers import Violation


class Log:
    """The store's entries, read by the checkers past all nodes."""

    def __init__(self, connection: Connection) -> None:
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

    def members(self) -> dict[int, set[int]]:
        """Who is a member of which conversation now."""
        members: dict[int, set[int]] = {}
        rows = self._connection.query("SELECT conversation_id, user_id FROM members", ())
        for conversation, user in rows:
            members.setdefault(int(str(conversation)), set()).add(int(str(user)))
        return members

    def memberships(self, group: int) -> dict[int, set[int]]:
        """By user, the seqs of a group at which the user was a member, joining and leaving
        included, as the log itself tells."""
        rows = self._connection.query(
            "SELECT seq, sender_id, kind FROM entries WHERE conversation_id = ? ORDER BY seq",
            (group,),
        )
        spans: dict[int, set[int]] = {}
        members: set[int] = set()
        for seq, sender, kind in rows:
            user = int(str(sender))
            if kind == EntryKind.JOINED:
                members.add(user)
            for member in members:
                spans.setdefault(member, set()).add(int(str(seq)))
            if kind == EntryKind.LEFT:
                members.discard(user)
        return spans

    def is_group(self, conversation: int) -> bool:
        rows = self._connection.query(
            "SELECT kind FROM conversations WHERE id = ?", (conversation,)
        )
        return bool(rows) and rows[0][0] == "group"


def check_logs(log: Log, connection: Connection) -> None:
    """A log is exactly 1..head; a key is stored at most once by its sender."""
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
