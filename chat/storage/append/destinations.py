"""Destinations: which conversation and which recipient an append is for.

Names of users and the conversations of two users are fixed once they exist, so no lock is needed to
look them up, and what the append cache holds of them is always right.
"""

from collections.abc import Iterable
from typing import TypeAlias

from chat.storage.append.cache import AppendCache, Route, pair
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sql import derived, flat, qmarks

Destination: TypeAlias = tuple[int | None, int | None]
"""What a route leads to: conversation (None: there is none) and recipient (None: a group, or a user
who does not exist)."""


def resolve(
    connection: DatabaseConnection, cache: AppendCache, routes: Iterable[Route]
) -> dict[Route, Destination]:
    """Where each route leads."""
    names = {to.lower() for _, to, _ in routes if isinstance(to, str)}
    users = _find_names(connection, cache, names)
    recipients = {
        route: users.get(route[1].lower()) if isinstance(route[1], str) else route[1]
        for route in routes
    }
    pairs = {
        pair(route[0], recipient)
        for route, recipient in recipients.items()
        if recipient is not None
    }
    conversations = find_pairs(connection, cache, pairs)
    return {
        route: (route[2], None)
        if recipient is None
        else (conversations.get(pair(route[0], recipient)), recipient)
        for route, recipient in recipients.items()
    }


def _find_names(
    connection: DatabaseConnection, cache: AppendCache, names: set[str]
) -> dict[str, int]:
    known = {name: cache.names[name] for name in names if name in cache.names}
    unknown = sorted(names - known.keys())
    if unknown:
        found: dict[str, int] = dict(
            connection.query(
                f"SELECT name_key, id FROM users WHERE name_key IN ({qmarks(len(unknown))})",
                unknown,
            )
        )
        cache.add_names(found)
        known |= found
    return known


def find_pairs(
    connection: DatabaseConnection, cache: AppendCache, pairs: set[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """By pair of users, lower number first: their conversation, if there is one."""
    known = {pair: cache.pairs[pair] for pair in pairs if pair in cache.pairs}
    unknown = sorted(pairs - known.keys())
    if unknown:
        rows = connection.query(
            "SELECT c.low_user_id, c.high_user_id, c.id"
            f" FROM {derived(('low', 'high'), len(unknown))} w"
            " JOIN conversations c ON c.low_user_id = w.low AND c.high_user_id = w.high",
            flat(unknown),
        )
        found = {(low, high): id for low, high, id in rows}
        cache.add_pairs(found)
        known |= found
    return known
