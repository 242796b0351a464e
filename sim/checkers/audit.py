"""The audit: triggers that judge every write to the store at the instant it is made.

A trigger looks at each row that is inserted, changed or deleted, by whichever transaction, and
notes what breaks an invariant; if the transaction is rolled back, so is the note. Triggers also
keep the spans of each membership (from which seq to which), because what the log says about them is
among the things to be checked.

A refusal writes nothing. So the audit is shown what was refused for a limit, and counts again what
the user has.
"""

from collections.abc import Iterator
from typing import Final

from chat.core.ports.operations import (
    AddFriend,
    CreateGroup,
    JoinGroup,
    Refused,
    StoreOperation,
    StoreOutcome,
    UserLimit,
)
from chat.core.state.config import NodeConfig
from chat.protocol.messages import EntryKind
from chat.storage.backends.connection import DatabaseConnection
from sim.checkers import Violation

END_KINDS = (EntryKind.LEFT, EntryKind.DELETED)
"""The entries that end a membership; the former member sees this one, and none after it."""


def _rule(name: str, on: str, when: str, invariant: str, seen: str) -> str:
    return (
        f"CREATE TEMP TRIGGER audit_{name} AFTER {on} WHEN {when} BEGIN"
        f" INSERT INTO audit VALUES ('{invariant}', {seen}); END"
    )


_PLACE = "NEW.sender_id || ' at ' || NEW.conversation_id || '/' || NEW.seq"
_MARK = "NEW.user_id || ' in ' || NEW.conversation_id || ' from ' || OLD.read_seq"
_DIRECT = "SELECT 1 FROM conversations c WHERE c.id = NEW.conversation_id AND c.kind = 'direct'"

_STATEMENTS = (
    "CREATE TEMP TABLE audit (invariant TEXT, seen TEXT)",
    "CREATE TEMP TABLE spans (conversation_id INTEGER, user_id INTEGER, first INTEGER,"
    " last INTEGER)",
    _rule(
        "member",
        "INSERT ON entries",
        "NEW.kind = 'text' AND NOT EXISTS (SELECT 1 FROM members m"
        " WHERE m.conversation_id = NEW.conversation_id AND m.user_id = NEW.sender_id)",
        "only members write",
        _PLACE,
    ),
    _rule(
        "friend",
        "INSERT ON entries",
        f"NEW.kind = 'text' AND EXISTS ({_DIRECT} AND 2 > (SELECT COUNT(*) FROM friendships f"
        " WHERE (f.user_id = c.low_user_id AND f.friend_id = c.high_user_id)"
        " OR (f.user_id = c.high_user_id AND f.friend_id = c.low_user_id)))",
        "only friends chat",
        _PLACE,
    ),
    _rule(
        "block",
        "INSERT ON entries",
        f"NEW.kind = 'text' AND EXISTS ({_DIRECT} AND EXISTS (SELECT 1 FROM blocks b"
        " WHERE (b.user_id = c.low_user_id AND b.blocked_id = c.high_user_id)"
        " OR (b.user_id = c.high_user_id AND b.blocked_id = c.low_user_id)))",
        "no text passes a block",
        _PLACE,
    ),
    _rule("head", "UPDATE OF head ON conversations", "NEW.head < OLD.head",
          "a head never goes back", "NEW.id || ' from ' || OLD.head || ' to ' || NEW.head"),
    _rule("entry", "UPDATE ON entries", "1", "an entry never changes", _PLACE),
    _rule("mark", "UPDATE OF read_seq ON members", "NEW.read_seq < OLD.read_seq",
          "a read mark never goes back", _MARK + " || ' to ' || NEW.read_seq"),
    "CREATE TEMP TRIGGER audit_came AFTER INSERT ON members BEGIN"
    " INSERT INTO spans SELECT NEW.conversation_id, NEW.user_id,"
    " CASE c.kind WHEN 'group' THEN c.head + 1 ELSE 1 END, NULL"
    " FROM conversations c WHERE c.id = NEW.conversation_id; END",
    "CREATE TEMP TRIGGER audit_went AFTER DELETE ON members BEGIN"
    " UPDATE spans SET last = (SELECT head FROM conversations WHERE id = OLD.conversation_id)"
    " WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id AND last IS NULL; END",
)  # fmt: skip


_OPEN = "SELECT COUNT(*) FROM friendships WHERE conversation_id IS NULL AND"
_GROUPS = (
    "SELECT COUNT(*) FROM members m JOIN conversations c ON c.id = m.conversation_id"
    " WHERE c.kind = 'group' AND"
)
_COUNTS: Final = {
    UserLimit.OPEN_REQUESTS_MADE: ("friendships", "NEW.user_id", f"{_OPEN} user_id ="),
    UserLimit.OPEN_REQUESTS_RECEIVED: ("friendships", "NEW.friend_id", f"{_OPEN} friend_id ="),
    UserLimit.GROUPS_OWNED: (
        "members",
        "NEW.user_id",
        f"{_GROUPS} m.role = 'owner' AND m.user_id =",
    ),
    UserLimit.GROUPS_JOINED: ("members", "NEW.user_id", f"{_GROUPS} m.user_id ="),
}
"""By limit: the table that a row is added to, whose the row is, and how many that user has."""


def _limit_rules(config: NodeConfig) -> Iterator[str]:
    """A user who inherits a group becomes its owner by an UPDATE, and may have too many then; a
    row that is inserted next to them is one too many only if it is of the same kind."""
    for limit, (table, user, count) in _COUNTS.items():
        kind = {
            UserLimit.GROUPS_OWNED: "NEW.role = 'owner'",
            UserLimit.GROUPS_JOINED: f"NOT EXISTS ({_DIRECT})",
        }.get(limit, "NEW.conversation_id IS NULL")
        most = getattr(config, limit)
        yield _rule(
            str(limit),
            f"INSERT ON {table}",
            f"{kind} AND ({count} {user}) > {most}",
            "no user has more than a limit allows",
            f"{user} || ' has more than {most} {limit}'",
        )


class Audit:
    """Installs the triggers, which are temporary: only this connection, the one that all
    transactions use, has them."""

    def __init__(self, connection: DatabaseConnection, config: NodeConfig) -> None:
        self._connection = connection
        self._config = config
        for statement in (*_STATEMENTS, *_limit_rules(config)):
            connection.execute(statement)

    def judge(self, operation: StoreOperation, outcome: StoreOutcome) -> None:
        """Raises Violation if an operation was refused for a limit that was not reached. To be
        called before anything else is written."""
        if not isinstance(outcome, Refused) or outcome.reached is None:
            return
        limit = outcome.reached.limit
        assert isinstance(operation, AddFriend | CreateGroup | JoinGroup)
        user: int | str = operation.user
        if limit is UserLimit.OPEN_REQUESTS_RECEIVED:
            assert isinstance(operation, AddFriend)
            user = operation.other
        ((count,),) = self._connection.query(
            f"{_COUNTS[limit][2]} (SELECT u.id FROM users u WHERE u.id = ? OR u.name = ?)",
            (user, user),
        )
        if count < getattr(self._config, limit):
            raise Violation(
                "nothing is refused for a limit that is not reached",
                f"{operation} was refused, and there are {count} {limit}",
            )

    def check(self) -> None:
        """Raises Violation for the first write that broke an invariant."""
        rows = self._connection.query("SELECT invariant, seen FROM audit LIMIT 1")
        if rows:
            raise Violation(str(rows[0][0]), f"by user {rows[0][1]}")

    def spans(self, user: int, conversation: int) -> list[tuple[int, int | None]]:
        """The first and last seq of each membership of the user; no last while it lasts."""
        return [
            (first, last)
            for first, last in self._connection.query(
                "SELECT first, last FROM spans WHERE conversation_id = ? AND user_id = ?",
                (conversation, user),
            )
        ]


def may_see(spans: list[tuple[int, int | None]], seq: int, kind: EntryKind) -> bool:
    """Whether one of these memberships covers the entry; its own end counts as covered."""
    after = 1 if kind in END_KINDS else 0
    return any(first <= seq and (last is None or seq <= last + after) for first, last in spans)
