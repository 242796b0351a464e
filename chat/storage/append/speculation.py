"""A batch of appends that asks the database nothing: speculate from the cache, then verify.

`speculate` numbers the entries after the cached heads. `verify_and_append` sends two statements
with the commit, in one round trip. The first raises the heads, and with them locks the rows, so it
goes before the INSERT. It makes the head of a row NULL whose head or access version is not the
expected one; the column may not be NULL, so the database refuses and the transaction fails: Stale.
"""

from collections.abc import Sequence
from typing import NamedTuple

from chat.core.ports.operations import Append, Appended, Refused
from chat.storage.append.cache import AppendCache, CachedDestination, Route, route_of
from chat.storage.backends.connection import DatabaseConnection, Row
from chat.storage.backends.sql import flat, qmarks
from chat.storage.transactions.log import INSERT_ENTRIES, TEXT


class Speculation(NamedTuple):
    """A batch as it will be if the cache is right: outcomes, rows to insert, and by conversation
    the head and access version that are expected and the head after the batch."""

    outcomes: list[Appended | Refused]
    rows: list[Row]
    expected: list[tuple[int, int, int, int]]


def speculate(cache: AppendCache, appends: Sequence[Append]) -> Speculation | None:
    """None if the cache does not hold all that the batch needs, or backs off."""
    if not cache.may_speculate():
        return None
    destinations: dict[Route, CachedDestination] = {}
    heads: dict[int, int] = {}
    rows: list[Row] = []
    outcomes: list[Appended | Refused] = []
    for append in appends:
        route = route_of(append)
        destination = destinations.get(route)
        if destination is None:
            destination = cache.find_destination(route)
            if destination is None:
                return None
            destinations[route] = destination
            heads.setdefault(destination[0], cache.conversations[destination[0]].head)
        conversation, recipient = destination
        seq = heads[conversation] = heads[conversation] + 1
        at_ms = append.at_ms
        rows.append((conversation, seq, TEXT, append.sender, append.text, at_ms, append.key))
        outcomes.append(Appended(conversation, seq, at_ms, recipient))
    if len({(append.sender, append.key) for append in appends}) < len(appends):
        return None
    expected = [
        (conversation, cached.head, cached.access_version, head)
        for conversation, head in heads.items()
        for cached in (cache.conversations[conversation],)
    ]
    return Speculation(outcomes, rows, expected)


def verify_and_append(connection: DatabaseConnection, speculation: Speculation) -> None:
    """Within a transaction of the caller's. Raises Stale if the cache was not right, DuplicateKey
    if one of the keys is stored already; either may come with the commit."""
    expected = speculation.expected
    cases = " WHEN ? THEN CASE WHEN head = ? AND access_version = ? THEN ? END" * len(expected)
    connection.execute(
        f"UPDATE conversations SET head = CASE id{cases} END WHERE id IN ({qmarks(len(expected))})",
        [*flat(expected), *[conversation for conversation, _, _, _ in expected]],
    )
    connection.insert_rows(INSERT_ENTRIES, speculation.rows)
