"""The logs in the store: what is in them, and what must be."""

from chat.storage.backends.connection import Connection
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

    def texts(self) -> dict[tuple[int, str], int]:
        """By sender and text, how often it was stored."""
        rows = self._connection.query(
            "SELECT sender_id, text, COUNT(*) FROM entries WHERE kind = 'text' "
            "GROUP BY sender_id, text",
            (),
        )
        return {(int(str(sender)), str(text)): int(str(count)) for sender, text, count in rows}


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
