"""Users, friends, groups and logs, inserted into a store before a node opens it.

Registering over the protocol would take minutes, since hashing a password is slow by design. All
users have the same password, and each has a device whose token is derived from the user id.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from argon2 import PasswordHasher

from chat.storage.backends.connection import DatabaseConnection, Value, in_transaction
from chat.storage.schema import migrate

PASSWORD: Final = "correct horse"
NOW_MS: Final = 1_767_225_600_000
ROWS: Final = 1_000
"""Rows in one INSERT."""


def token(user: int, device: int = 1) -> str:
    name = b"device of %d" if device == 1 else b"device %d of %%d" % device
    return hashlib.sha256(name % user).hexdigest()


def make_tables(connection: DatabaseConnection) -> None:
    migrate(connection)


def add_users(connection: DatabaseConnection, first: int, count: int) -> None:
    """Users first … first + count - 1, named user-N, each with a device."""
    password = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(PASSWORD)
    numbers = range(first, first + count)
    _insert(
        connection,
        "users (id, name, name_key, password_hash, registered_ms, roster_version)",
        [(n, f"user-{n}", f"user-{n}", password, NOW_MS, 1) for n in numbers],
    )
    _insert(
        connection,
        "devices (token_sha256, user_id, opened_ms)",
        [(hashlib.sha256(token(n).encode()).digest(), n, NOW_MS) for n in numbers],
    )


def add_devices(connection: DatabaseConnection, user: int, count: int) -> None:
    """Devices 2 … count of a user, who has the first one already."""
    _insert(
        connection,
        "devices (token_sha256, user_id, opened_ms)",
        [
            (hashlib.sha256(token(user, device).encode()).digest(), user, NOW_MS)
            for device in range(2, count + 1)
        ],
    )


def add_friends(
    connection: DatabaseConnection, pairs: Sequence[tuple[int, int]], first_conversation: int
) -> None:
    """Makes each pair (lower id first) friends; conversation ids count up from the first."""
    numbered = list(enumerate(pairs, first_conversation))
    _insert(
        connection,
        "conversations (id, kind, head, name, description, closed, low_user_id, high_user_id)",
        [(n, "direct", 0, "", "", 0, low, high) for n, (low, high) in numbered],
    )
    _insert(
        connection,
        "members (conversation_id, user_id, role, since_seq, read_seq)",
        [(n, user, "member", 1, 0) for n, pair in numbered for user in pair],
    )
    _insert(
        connection,
        "friendships (user_id, friend_id, conversation_id, asked_ms)",
        [
            (user, friend, n, NOW_MS)
            for n, (low, high) in numbered
            for user, friend in ((low, high), (high, low))
        ],
    )


def add_group(connection: DatabaseConnection, conversation: int, users: Sequence[int]) -> None:
    """A group with an empty log; the first user is its owner."""
    _insert(
        connection,
        "conversations (id, kind, head, name, description, closed)",
        [(conversation, "group", 0, f"group-{conversation}", "", 0)],
    )
    _insert(
        connection,
        "members (conversation_id, user_id, role, since_seq, read_seq)",
        [
            (conversation, user, "member" if place else "owner", 1, 0)
            for place, user in enumerate(users)
        ],
    )


def add_entries(
    connection: DatabaseConnection, conversation: int, sender: int, texts: Iterator[str]
) -> int:
    """Fills the log of an empty conversation with `texts`; returns its head."""
    rows: list[tuple[Value, ...]] = [
        (conversation, seq, "text", sender, text, NOW_MS, f"fixture-{seq}")
        for seq, text in enumerate(texts, 1)
    ]
    _insert(connection, "entries (conversation_id, seq, kind, sender_id, text, at_ms, `key`)", rows)
    in_transaction(
        connection,
        lambda: connection.execute(
            "UPDATE conversations SET head = ? WHERE id = ?", (len(rows), conversation)
        ),
        write=True,
    )
    return len(rows)


def _insert(connection: DatabaseConnection, into: str, rows: Sequence[tuple[Value, ...]]) -> None:
    def work() -> None:
        left = iter(rows)
        while batch := list(islice(left, ROWS)):
            qmarks = ", ".join(["(" + ", ".join("?" * len(batch[0])) + ")"] * len(batch))
            connection.execute(
                f"INSERT INTO {into} VALUES {qmarks}",
                [value for row in batch for value in row],
            )

    in_transaction(connection, work, write=True)
