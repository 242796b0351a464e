"""A batch of appends that asks the database under locks, for all of its appends at once.

The order of the steps is what makes the answers final:

1. Names and pairs of users are resolved. Both are fixed once they exist, so no lock is needed and
   the cache is always right; what comes into being after this step does not exist for this batch.
2. The conversations' rows are locked, in the order of their numbers, and their heads read.
3. Keys that are stored already are looked up: what was stored once stays sent, whatever became of
   the membership since. With `assume_new_keys` only the keys of appends that would be refused are
   looked up; the unique key fails the batch if one of the others is stored.
4. Membership and blocks are read, except of writers that are in the cache for the row's present
   `access_version`. All that changes them takes one of the locks of step 2.
5. In the order of the batch, each append is answered: by the first seq of its key (a key may
   repeat within the batch as well), by a refusal of its own, or by the next seq.
6. One INSERT stores the entries, one UPDATE raises the heads.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from chat.core.ports.operations import Append, Appended, Refused
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import DirectAction, DirectRole, GroupAction
from chat.storage.append.cache import AppendCache, Route, route_of
from chat.storage.append.destinations import Destination, resolve
from chat.storage.append.idempotency import answer_repeated, find_keys
from chat.storage.backends.connection import (
    Columns,
    DatabaseConnection,
    Row,
    Select,
    integer,
    word,
)
from chat.storage.backends.sql import derived, flat, qmarks
from chat.storage.transactions.access import direct_refusal, group_refusal, read_relationship
from chat.storage.transactions.log import GROUP, INSERT_ENTRIES, TEXT

_IS_BLOCKED: Final = (
    "(w.recipient > 0"
    " AND (EXISTS (SELECT 1 FROM blocks b"
    " WHERE b.user_id = w.sender AND b.blocked_id = w.recipient)"
    " OR EXISTS (SELECT 1 FROM blocks b"
    " WHERE b.user_id = w.recipient AND b.blocked_id = w.sender)))"
)
_CONVERSATION: Final = Columns(
    integer("id"), integer("head"), integer("access_version"), word("kind")
)
_MEMBERSHIP: Final = Columns(
    integer("w.conversation"),
    integer("w.sender"),
    integer("w.recipient"),
    word("m.role"),
    integer(_IS_BLOCKED),
)

_Writer: TypeAlias = tuple[int, int, int]
"""Conversation, sender, and recipient or 0."""


class _Locked(NamedTuple):
    """The locked conversations: their heads and access versions, and which of them are groups.
    `members`: by writer, the sender's role and whether one of the two has blocked the other.
    `cached_writers`: the writers who may write by the cache, at the version that was locked."""

    heads: dict[int, int]
    versions: dict[int, int]
    groups: frozenset[int]
    members: dict[_Writer, tuple[str | None, bool]]
    cached_writers: set[_Writer]


class LockedBatch(NamedTuple):
    """`cache_updates`: what the transaction learned of each conversation, as the arguments of
    `AppendCache.update_conversation`."""

    outcomes: list[Appended | Refused]
    cache_updates: list[tuple[int, int, int, int, set[tuple[int, int]]]]


def lock_and_append(
    connection: DatabaseConnection,
    cache: AppendCache,
    appends: Sequence[Append],
    *,
    assume_new_keys: bool,
) -> LockedBatch:
    """The appends in order, within a transaction of the caller's. Raises DuplicateKey if
    `assume_new_keys` was wrong, with the commit at the latest."""
    routes = [route_of(append) for append in appends]
    destinations = resolve(connection, cache, dict.fromkeys(routes))
    locked = _lock_conversations(connection, cache, destinations)
    heads = locked.heads
    stored = {} if assume_new_keys else find_keys(connection, appends)
    decided = {
        route: (destination, _refusal(connection, locked, route, destination))
        for route, destination in destinations.items()
    }
    before = dict(heads)
    rows: list[Row] = []
    outcomes: list[Appended | Refused] = []
    for append, route in zip(appends, routes, strict=True):
        sender, key, text, at_ms = append.sender, append.key, append.text, append.at_ms
        identity = (sender, key)
        first = stored.get(identity)
        destination, refusal = decided[route]
        if first is None and refusal is not None and assume_new_keys:
            stored |= find_keys(connection, [append])
            first = stored.get(identity)
        if first is not None:
            outcomes.append(answer_repeated(connection, cache, append, destination, first))
            continue
        if refusal is not None:
            outcomes.append(refusal)
            continue
        conversation, recipient = destination
        assert conversation is not None
        seq = heads[conversation] = heads[conversation] + 1
        stored[identity] = (conversation, seq, text, at_ms)
        rows.append((conversation, seq, TEXT, sender, text, at_ms, key))
        outcomes.append(Appended(conversation, seq, at_ms, recipient))
    if rows:
        connection.insert_rows(INSERT_ENTRIES, rows)
        grown = {id: head - before[id] for id, head in heads.items() if head > before[id]}
        _raise_heads(connection, grown)
    writers: dict[int, set[tuple[int, int]]] = {}
    for (sender, _, _), ((conversation, recipient), refusal) in decided.items():
        if refusal is None and conversation is not None:
            writers.setdefault(conversation, set()).add((sender, recipient or 0))
    return LockedBatch(
        outcomes,
        [(id, before[id], heads[id], locked.versions[id], writers.get(id, set())) for id in heads],
    )


def _lock_conversations(
    connection: DatabaseConnection, cache: AppendCache, destinations: dict[Route, Destination]
) -> _Locked:
    """Locks them, and then reads who may write to them. A transaction that waited for a lock reads
    what was committed meanwhile, as each statement sees what was committed before it began."""
    ids = sorted({id for id, _ in destinations.values() if id is not None})
    if not ids:
        return _Locked({}, {}, frozenset(), {}, set())
    writers = {
        (conversation, route[0], recipient or 0)
        for route, (conversation, recipient) in destinations.items()
        if conversation is not None
    }
    cached = {writer for writer in writers if cache.has_writer(*writer)}
    lock = Select(
        _CONVERSATION,
        "FROM conversations"
        f" WHERE id IN ({qmarks(len(ids))}) AND closed = 0 ORDER BY id{connection.for_update}",
        ids,
    )
    unknown = writers - cached
    locked, *memberships = connection.select(lock, *([_memberships(unknown)] if unknown else []))
    versions = {id: version for id, _, version, _ in locked}
    members = memberships[0] if memberships else []
    outdated = {
        writer
        for writer in cached
        if versions.get(writer[0]) != cache.conversations[writer[0]].access_version
    }
    if outdated:
        members += connection.select(_memberships(outdated))[0]
    return _Locked(
        {id: head for id, head, _, _ in locked},
        versions,
        frozenset(id for id, _, _, kind in locked if kind == GROUP),
        {
            (conversation, sender, recipient): (role, bool(is_blocked))
            for conversation, sender, recipient, role, is_blocked in members
        },
        cached - outdated,
    )


def _memberships(writers: set[_Writer]) -> Select:
    return Select(
        _MEMBERSHIP,
        f"FROM {derived(('conversation', 'sender', 'recipient'), len(writers))} w"
        " JOIN members m ON m.conversation_id = w.conversation AND m.user_id = w.sender",
        flat(sorted(writers)),
    )


def _raise_heads(connection: DatabaseConnection, grown: dict[int, int]) -> None:
    """Most logs of a batch grow by one, so the cases are few."""
    by_growth: dict[int, list[int]] = {}
    for conversation, growth in grown.items():
        by_growth.setdefault(growth, []).append(conversation)
    values: list[int] = []
    cases = ""
    for growth, conversations in sorted(by_growth.items()):
        cases += f" WHEN id IN ({qmarks(len(conversations))}) THEN ?"
        values += (*conversations, growth)
    values += grown
    connection.execute(
        f"UPDATE conversations SET head = head + CASE{cases} END"
        f" WHERE id IN ({qmarks(len(grown))})",
        values,
    )


def _refusal(
    connection: DatabaseConnection, locked: _Locked, route: Route, destination: Destination
) -> Refused | None:
    code = _decide(connection, locked, route, destination)
    return None if code is None else Refused(code)


def _decide(
    connection: DatabaseConnection, locked: _Locked, route: Route, destination: Destination
) -> ErrorCode | None:
    """Why this sender may not append there; None if the sender may."""
    sender, _, group = route
    conversation, recipient = destination
    if conversation is not None and (conversation, sender, recipient or 0) in locked.cached_writers:
        return None
    role: str | None = None
    is_blocked = False
    if conversation in locked.heads:
        role, is_blocked = locked.members.get((conversation, sender, recipient or 0), (None, False))
    if group is not None:
        if conversation not in locked.groups:
            return ErrorCode.NO_SUCH_GROUP
        return group_refusal(role, GroupAction.GROUP_CHAT)
    if recipient is None or (role is None and not _exists(connection, recipient)):
        return ErrorCode.NO_SUCH_USER
    if role is None:
        direct = read_relationship(connection, sender, recipient).role
        if conversation is None and direct_refusal(direct, DirectAction.CHAT) is None:
            # They became friends since step 1; this is decided as of then.
            direct = DirectRole.ASKED
    else:
        direct = DirectRole.BLOCKED_FRIEND if is_blocked else DirectRole.FRIEND
    return direct_refusal(direct, DirectAction.CHAT)


def _exists(connection: DatabaseConnection, user: int) -> bool:
    return bool(connection.query("SELECT id FROM users WHERE id = ?", (user,)))
