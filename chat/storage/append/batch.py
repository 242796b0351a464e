"""Appending texts, many in one transaction: the group commit.

A batch is decided as if its appends came one after the other, but asks the database once for
all of them. There are two ways, and both give the same answers.

*The long way* asks under locks. The order of its steps is what makes the answers final:

1. Names and pairs of users are resolved. Both are fixed once they exist, so no lock is needed, and
   what was found once need not be looked for again; what comes into being after this step is not
   there yet for this batch.
2. The conversations' rows are locked, in the order of their numbers, and their heads read.
3. Keys that are stored already are looked up; what was stored once stays sent, whatever
   became of the membership since. Nearly all keys are new, so at first a batch is `hopeful`: it
   looks up only the keys of what it would refuse, and leaves the rest to the unique key, which
   fails the whole batch if one is stored. Then the batch is run again without hope.
4. Membership and blocks are read, but for those who may write by what is remembered of the row's
   `access_version`. All that changes them takes one of the locks of step 2.
5. In the order of the batch, each append is answered: by the first seq of its key (a key may
   repeat within the batch as well), by a refusal of its own, or by the next seq.
6. One INSERT stores the entries, one UPDATE the heads.

*The short way* asks nothing. If all who append may do so by what is remembered (see memory.py),
the UPDATE takes the remembered heads and versions for granted, and fails the batch if a row has
others. It goes first, so that the rows are locked while the entries are stored. A batch that
failed goes the long way.

Nobody may be told anything before the commit has returned. Running the same batch again after
a commit of unknown fate is safe, because of step 3 and the unique key.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from chat.core.ports.operations import Append, Appended, Refused
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind
from chat.protocol.rules import DirectAction, DirectRole, GroupAction
from chat.storage.append.cache import AppendCache, Place, pair, place_of
from chat.storage.backends.connection import DatabaseConnection, Row, Value
from chat.storage.backends.sql import derived, marks
from chat.storage.transactions.access import direct_refusal, group_refusal, read_relationship
from chat.storage.transactions.log import GROUP, INSERT_ENTRIES

MAX_BATCH: Final = 256
"""Most appends of one transaction."""

_IS_BLOCKED: Final = (
    "(w.recipient > 0"
    " AND (EXISTS (SELECT 1 FROM blocks b"
    " WHERE b.user_id = w.sender AND b.blocked_id = w.recipient)"
    " OR EXISTS (SELECT 1 FROM blocks b"
    " WHERE b.user_id = w.recipient AND b.blocked_id = w.sender)))"
)
_STANDING: Final = ("w.conversation", "w.sender", "w.recipient", "m.role", _IS_BLOCKED)
_TEXT: Final = str(EntryKind.TEXT.value)


_Stored: TypeAlias = tuple[int, int, str, int]
"""What a key stands for: conversation, seq, text, at_ms."""


_Writer: TypeAlias = tuple[int, int, int]
"""Conversation, sender, and recipient or 0."""


class _Logs(NamedTuple):
    """The locked conversations: their heads and access versions, which of them are groups, and by
    conversation, sender and recipient (0 in a group) the sender's role and whether a block is
    between the two; or, of those who are remembered, only that they may write."""

    heads: dict[int, int]
    versions: dict[int, int]
    groups: frozenset[int]
    members: dict[_Writer, tuple[str | None, bool]]
    writers: set[_Writer]


_Target: TypeAlias = tuple[int | None, int | None]
"""Where an append goes: conversation (None: there is none) and recipient (None: a group, or a user
who does not exist)."""


class Guess(NamedTuple):
    """A batch as it is by memory: its outcomes, the rows to insert, and by conversation the head
    and access version that are taken for granted, and the head it leaves."""

    outcomes: list[Appended | Refused]
    rows: list[Row]
    granted: list[tuple[int, int, int, int]]


class Batch(NamedTuple):
    """What the long way brought: outcomes, and by conversation the head before and after, the
    access version, and who may write."""

    outcomes: list[Appended | Refused]
    learned: list[tuple[int, int, int, int, set[tuple[int, int]]]]


# ----------------------------------------------------------------------------- the short way


def guess(memory: AppendCache, appends: Sequence[Append]) -> Guess | None:
    """The batch as it is by memory; None if that does not hold all of it."""
    if not memory.dares():
        return None
    targets: dict[Place, tuple[int, int | None]] = {}
    heads: dict[int, int] = {}
    rows: list[Row] = []
    outcomes: list[Appended | Refused] = []
    for append in appends:
        place = place_of(append)
        target = targets.get(place)
        if target is None:
            target = memory.find_target(place)
            if target is None:
                return None
            targets[place] = target
            heads.setdefault(target[0], memory.conversations[target[0]].head)
        conversation, recipient = target
        seq = heads[conversation] = heads[conversation] + 1
        at_ms = append.at_ms
        rows.append((conversation, seq, _TEXT, append.sender, append.text, at_ms, append.key))
        outcomes.append(Appended(conversation, seq, at_ms, recipient))
    if len({(append.sender, append.key) for append in appends}) < len(appends):
        return None
    granted = [
        (conversation, remembered.head, remembered.access_version, head)
        for conversation, head in heads.items()
        for remembered in (memory.conversations[conversation],)
    ]
    return Guess(outcomes, rows, granted)


def append_guessed(connection: DatabaseConnection, guessed: Guess) -> None:
    """Within a transaction of the caller's. Raises Stale if it was not so, DuplicateKey if one of
    the keys is stored already; either may come with the commit."""
    granted = guessed.granted
    cases = " WHEN ? THEN CASE WHEN head = ? AND access_version = ? THEN ? END" * len(granted)
    connection.execute(
        f"UPDATE conversations SET head = CASE id{cases} END WHERE id IN ({marks(len(granted))})",
        [*_flat(granted), *[conversation for conversation, _, _, _ in granted]],
    )
    connection.insert_rows(INSERT_ENTRIES, guessed.rows)


# ------------------------------------------------------------------------------ the long way


def append_all(
    connection: DatabaseConnection, memory: AppendCache, appends: Sequence[Append], *, hopeful: bool
) -> Batch:
    """At most MAX_BATCH appends, in order, within a transaction of the caller's. Raises
    DuplicateKey if it was hopeful in vain."""
    places = [place_of(append) for append in appends]
    targets = _find_targets(connection, memory, dict.fromkeys(places))
    logs = _lock_conversations(connection, memory, targets)
    heads = logs.heads
    stored = {} if hopeful else _find_keys(connection, appends)
    decided = {
        place: (target, _refusal(connection, logs, place, target))
        for place, target in targets.items()
    }
    before = dict(heads)
    rows: list[Row] = []
    outcomes: list[Appended | Refused] = []
    for append, place in zip(appends, places, strict=True):
        sender, key, text, at_ms = append.sender, append.key, append.text, append.at_ms
        identity = (sender, key)
        first = stored.get(identity)
        target, refusal = decided[place]
        if first is None and refusal is not None and hopeful:
            stored |= _find_keys(connection, [append])
            first = stored.get(identity)
        if first is not None:
            outcomes.append(_repeated(connection, memory, append, target, first))
            continue
        if refusal is not None:
            outcomes.append(refusal)
            continue
        conversation, recipient = target
        assert conversation is not None
        seq = heads[conversation] = heads[conversation] + 1
        stored[identity] = (conversation, seq, text, at_ms)
        rows.append((conversation, seq, _TEXT, sender, text, at_ms, key))
        outcomes.append(Appended(conversation, seq, at_ms, recipient))
    if rows:
        connection.insert_rows(INSERT_ENTRIES, rows)
        grown = {id: head - before[id] for id, head in heads.items() if head > before[id]}
        _raise_heads(connection, grown)
    writers: dict[int, set[tuple[int, int]]] = {}
    for (sender, _, _), ((conversation, recipient), refusal) in decided.items():
        if refusal is None and conversation is not None:
            writers.setdefault(conversation, set()).add((sender, recipient or 0))
    return Batch(
        outcomes,
        [(id, before[id], heads[id], logs.versions[id], writers.get(id, set())) for id in heads],
    )


def _find_targets(
    connection: DatabaseConnection, memory: AppendCache, places: Iterable[Place]
) -> dict[Place, _Target]:
    names = {to.lower() for _, to, _ in places if isinstance(to, str)}
    users = _find_names(connection, memory, names)
    recipients = {
        place: users.get(place[1].lower()) if isinstance(place[1], str) else place[1]
        for place in places
    }
    pairs = {
        pair(place[0], recipient)
        for place, recipient in recipients.items()
        if recipient is not None
    }
    conversations = _find_pairs(connection, memory, pairs)
    return {
        place: (place[2], None)
        if recipient is None
        else (conversations.get(pair(place[0], recipient)), recipient)
        for place, recipient in recipients.items()
    }


def _find_names(
    connection: DatabaseConnection, memory: AppendCache, names: set[str]
) -> dict[str, int]:
    known = {name: memory.names[name] for name in names if name in memory.names}
    unknown = sorted(names - known.keys())
    if unknown:
        found: dict[str, int] = dict(
            connection.query(
                f"SELECT name_key, id FROM users WHERE name_key IN ({marks(len(unknown))})", unknown
            )
        )
        memory.learn_names(found)
        known |= found
    return known


def _find_pairs(
    connection: DatabaseConnection, memory: AppendCache, pairs: set[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    known = {pair: memory.pairs[pair] for pair in pairs if pair in memory.pairs}
    unknown = sorted(pairs - known.keys())
    if unknown:
        rows = connection.query(
            "SELECT c.low_user_id, c.high_user_id, c.id"
            f" FROM {derived(('low', 'high'), len(unknown))} w"
            " JOIN conversations c ON c.low_user_id = w.low AND c.high_user_id = w.high",
            _flat(unknown),
        )
        found = {(low, high): id for low, high, id in rows}
        memory.learn_pairs(found)
        known |= found
    return known


def _lock_conversations(
    connection: DatabaseConnection, memory: AppendCache, targets: dict[Place, _Target]
) -> _Logs:
    """Locks them, and then asks who is in them. Whoever waited for a lock sees what was committed
    meanwhile, as each statement sees what was committed before it began."""
    ids = sorted({conversation for conversation, _ in targets.values() if conversation is not None})
    if not ids:
        return _Logs({}, {}, frozenset(), {}, set())
    wanted = {
        (conversation, place[0], recipient or 0)
        for place, (conversation, recipient) in targets.items()
        if conversation is not None
    }
    remembered = {writer for writer in wanted if memory.has_writer(*writer)}
    lock = (
        f"SELECT {connection.pack('id', 'head', 'access_version', 'kind')} FROM conversations"
        f" WHERE id IN ({marks(len(ids))}) AND closed = 0 ORDER BY id{connection.for_update}",
        ids,
    )
    asked = wanted - remembered
    rows, *standings = connection.query_all(
        lock, *([_ask_standing(connection, asked)] if asked else [])
    )
    locked = list(connection.unpack(rows, 4))
    versions = {int(id): int(version) for id, _, version, _ in locked}
    members = standings[0] if standings else []
    outdated = {
        writer
        for writer in remembered
        if versions.get(writer[0]) != memory.conversations[writer[0]].access_version
    }
    if outdated:
        members += connection.query_all(_ask_standing(connection, outdated))[0]
    return _Logs(
        {int(id): int(head) for id, head, _, _ in locked},
        versions,
        frozenset(int(id) for id, _, _, kind in locked if kind == GROUP),
        {
            (int(conversation), int(sender), int(recipient)): (role, is_blocked in ("1", 1))
            for conversation, sender, recipient, role, is_blocked in connection.unpack(
                members, len(_STANDING)
            )
        },
        remembered - outdated,
    )


def _ask_standing(
    connection: DatabaseConnection, writers: set[_Writer]
) -> tuple[str, Sequence[Value]]:
    return (
        f"SELECT {connection.pack(*_STANDING)}"
        f" FROM {derived(('conversation', 'sender', 'recipient'), len(writers))} w"
        " JOIN members m ON m.conversation_id = w.conversation AND m.user_id = w.sender",
        _flat(sorted(writers)),
    )


def _find_keys(
    connection: DatabaseConnection, appends: Sequence[Append]
) -> dict[tuple[int, str], _Stored]:
    wanted = {(append.sender, append.key) for append in appends}
    rows = connection.query(
        "SELECT e.sender_id, e.`key`, e.conversation_id, e.seq, e.text, e.at_ms"
        f" FROM {derived(('sender', 'wanted'), len(wanted))} w"
        " JOIN entries e ON e.sender_id = w.sender AND e.`key` = w.wanted",
        _flat(wanted),
    )
    return {
        (sender, key): (conversation, seq, text, at_ms)
        for sender, key, conversation, seq, text, at_ms in rows
    }


def _repeated(
    connection: DatabaseConnection,
    memory: AppendCache,
    append: Append,
    target: _Target,
    first: _Stored,
) -> Appended | Refused:
    conversation, recipient = target
    if conversation is None and recipient is not None:
        # The conversation may have been made, and this been stored in it, since step 1.
        two = pair(append.sender, recipient)
        conversation = _find_pairs(connection, memory, {two}).get(two)
    first_conversation, seq, text, at_ms = first
    if conversation != first_conversation or append.text != text:
        return Refused(ErrorCode.KEY_CONFLICT)
    return Appended(first_conversation, seq, at_ms, recipient, repeated=True)


def _raise_heads(connection: DatabaseConnection, grown: dict[int, int]) -> None:
    """Most logs of a batch grow by one, so the cases are few."""
    by_growth: dict[int, list[int]] = {}
    for conversation, growth in grown.items():
        by_growth.setdefault(growth, []).append(conversation)
    values: list[int] = []
    cases = ""
    for growth, conversations in sorted(by_growth.items()):
        cases += f" WHEN id IN ({marks(len(conversations))}) THEN ?"
        values += (*conversations, growth)
    values += grown
    connection.execute(
        f"UPDATE conversations SET head = head + CASE{cases} END WHERE id IN ({marks(len(grown))})",
        values,
    )


def _flat(rows: Iterable[tuple[Value, ...]]) -> list[Value]:
    return [value for row in rows for value in row]


def _refusal(
    connection: DatabaseConnection, logs: _Logs, place: Place, target: _Target
) -> Refused | None:
    code = _decide(connection, logs, place, target)
    return None if code is None else Refused(code)


def _decide(
    connection: DatabaseConnection, logs: _Logs, place: Place, target: _Target
) -> ErrorCode | None:
    """Why this sender may not append there; None if it may."""
    sender, _, group = place
    conversation, recipient = target
    if conversation is not None and (conversation, sender, recipient or 0) in logs.writers:
        return None
    role: str | None = None
    is_blocked = False
    if conversation in logs.heads:
        role, is_blocked = logs.members.get((conversation, sender, recipient or 0), (None, False))
    if group is not None:
        if conversation not in logs.groups:
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
