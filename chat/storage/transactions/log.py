"""The logs: reading them, marking them read, and the entries that record membership.

An entry's seq is the conversation's head plus one, given under the lock of the conversation's
row, which is held to the commit. So a log has no gaps at any time, for any reader, and the head
in the row is the seq of the last entry.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from chat.core.ports.operations import (
    HistoryRead,
    LogEntry,
    LogRead,
    MarkRead,
    ReadHistory,
    ReadLog,
    ReadMarked,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind, User
from chat.protocol.rules import DirectAction, GroupAction
from chat.storage.backends.connection import (
    Columns,
    DatabaseConnection,
    Select,
    integer,
    text,
    word,
)
from chat.storage.transactions.access import Refusal, allow_direct, allow_group, read_relationship
from chat.storage.transactions.tables import Transactions

GROUP: Final = "group"
"""The kind of a group's conversation in its table; the other kind is `direct`."""

TEXT: Final = str(EntryKind.TEXT.value)
"""The kind of an entry that a user wrote, in the table of entries."""

INSERT_ENTRIES: Final = (
    "INSERT INTO entries (conversation_id, seq, kind, sender_id, text, at_ms, `key`)"
)

_KINDS: Final = {str(kind.value): kind for kind in EntryKind}
# By the spec, names and keys have no spaces.
_ENTRY: Final = Columns(
    integer("e.seq"),
    word("e.kind"),
    integer("e.sender_id"),
    word("u.name"),
    integer("e.at_ms"),
    word("COALESCE(e.`key`, '')"),
    text("e.text"),
)


class Membership(NamedTuple):
    """A conversation as one member sees it: its head, the first entry the member may see, how far
    the member has read, and the other user, None in a group."""

    head: int
    since: int
    read: int
    other: int | None


def read_log(connection: DatabaseConnection, operation: ReadLog) -> LogRead:
    heads = connection.query(
        "SELECT head FROM conversations WHERE id = ?", (operation.conversation,)
    )
    if not heads:
        return LogRead((), 0)
    head = heads[0][0]
    entries: list[LogEntry] = []
    if operation.after < head:
        entries = _read_entries(
            connection,
            operation.conversation,
            "AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?",
            (operation.after, head, operation.limit),
        )
    return LogRead(tuple(entries), head)


def read_history(connection: DatabaseConnection, operation: ReadHistory) -> HistoryRead:
    membership = _read_membership(
        connection,
        operation.user,
        operation.conversation,
        GroupAction.HISTORY,
        DirectAction.HISTORY,
    )
    limit = operation.limit
    if operation.after is not None:
        after = max(operation.after, membership.since - 1)
        condition = "AND e.seq > ? ORDER BY e.seq LIMIT ?"
        parameters: tuple[int, ...] = (after, limit + 1)
    else:
        before = membership.head + 1 if operation.before is None else operation.before
        condition = "AND e.seq < ? AND e.seq >= ? ORDER BY e.seq DESC LIMIT ?"
        parameters = (before, membership.since, limit + 1)
    entries = _read_entries(connection, operation.conversation, condition, parameters)
    page = entries[:limit]
    if operation.after is None:
        page.reverse()
    return HistoryRead(tuple(page), more=len(entries) > limit)


def mark_read(connection: DatabaseConnection, operation: MarkRead) -> ReadMarked:
    # Without the conversation's lock: heads and read marks only grow, and for a member who has left
    # meanwhile there is no row to update.
    membership = _read_membership(
        connection,
        operation.user,
        operation.conversation,
        GroupAction.MARK_READ,
        DirectAction.MARK_READ,
    )
    mark = min(operation.seq, membership.head)
    if mark > membership.read:
        connection.execute(
            "UPDATE members SET read_seq = ?"
            " WHERE conversation_id = ? AND user_id = ? AND read_seq < ?",
            (mark, operation.conversation, operation.user, mark),
        )
    return ReadMarked(max(mark, membership.read), membership.other)


def append_membership(
    connection: DatabaseConnection,
    conversation: int,
    head: int,
    changes: Sequence[tuple[EntryKind, User]],
    at_ms: int,
    text: str = "",
) -> tuple[LogEntry, ...]:
    """Appends entries without a key. The conversation's row must be locked, its head read
    under the lock."""
    entries = tuple(
        LogEntry(conversation, seq, kind, user.id, user.name, text, at_ms)
        for seq, (kind, user) in enumerate(changes, head + 1)
    )
    rows = [
        (conversation, entry.seq, str(entry.kind.value), entry.sender, text, at_ms, None)
        for entry in entries
    ]
    connection.insert_rows(INSERT_ENTRIES, rows)
    connection.execute(
        "UPDATE conversations SET head = ?, access_version = access_version + 1 WHERE id = ?",
        (head + len(entries), conversation),
    )
    return entries


def _read_membership(
    connection: DatabaseConnection,
    user: int,
    conversation: int,
    group_action: GroupAction,
    direct_action: DirectAction,
) -> Membership:
    """Raises Refusal unless the user may do that here. A conversation that does not exist has
    outsiders only."""
    rows = connection.query(
        "SELECT c.kind, c.head, c.low_user_id, c.high_user_id, m.role, m.since_seq, m.read_seq"
        " FROM conversations c"
        " LEFT JOIN members m ON m.conversation_id = c.id AND m.user_id = ? WHERE c.id = ?",
        (user, conversation),
    )
    kind, head, low, high, role, since, read = rows[0] if rows else (GROUP, 0, 0, 0, None, 0, 0)
    other: int | None = None
    if kind == GROUP:
        allow_group(role, group_action)
    else:
        if user not in (low, high):
            raise Refusal(ErrorCode.NOT_MEMBER)
        other = high if user == low else low
        allow_direct(read_relationship(connection, user, other).role, direct_action)
    return Membership(head, since, read, other)


def _read_entries(
    connection: DatabaseConnection, conversation: int, condition: str, parameters: Sequence[int]
) -> list[LogEntry]:
    # LEFT makes MySQL begin with the log: where users are few it would read all entries of each.
    (rows,) = connection.select(
        Select(
            _ENTRY,
            "FROM entries e LEFT JOIN users u ON u.id = e.sender_id"
            f" WHERE e.conversation_id = ? {condition}",
            (conversation, *parameters),
        )
    )
    return [
        LogEntry(conversation, seq, _KINDS[kind], sender, name, text, at_ms, key or None)
        for seq, kind, sender, name, at_ms, key, text in rows
    ]


READS: Final[Transactions] = {
    ReadLog: read_log,
    ReadHistory: read_history,
}
WRITES: Final[Transactions] = {
    MarkRead: mark_read,
}
