"""The transactions: every store operation, carried out over a connection.

One operation is one transaction, and whatever it decides it decides under locks that it holds
to its commit. Locks are taken in one order by all: conversations by number, then users by
number. What a user may do is asked of the generated access tables under those locks.

An outcome is returned only after the commit has returned. A `Refused` outcome was rolled back,
so that nothing of it is stored. What is raised is a StoreError, of which each says whether
anything may be stored, or, for a bug, anything else after a rollback.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from chat.core.ports.operations import (
    AddFriend,
    Append,
    Appended,
    Block,
    CloseDevice,
    CreateGroup,
    CreateUser,
    DeleteGroup,
    FindAccount,
    FindDevice,
    JoinGroup,
    LeaveGroup,
    MarkRead,
    OpenDevice,
    ReadHeads,
    ReadHistory,
    ReadLog,
    ReadMembers,
    ReadProfile,
    ReadRoster,
    Refused,
    RemoveFriend,
    StoreOperation,
    StoreOutcome,
    Unblock,
)
from chat.storage.append.batch import MAX_BATCH, append_all, append_guessed, guess
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.errors import DuplicateKey, Stale
from chat.storage.transactions import accounts, friendships, groups, log, rosters
from chat.storage.transactions.access import Refusal

# Each takes a connection and operations of the type it stands under, all at once.
_READS_TOGETHER: Final[dict[type, Callable[[DatabaseConnection, Any], Sequence[StoreOutcome]]]] = {
    FindDevice: accounts.find_devices,
    ReadRoster: rosters.read_rosters,
}
# Each takes a connection and an operation of the type it stands under.
_READS: Final[dict[type, Callable[[DatabaseConnection, Any], StoreOutcome]]] = {
    FindAccount: accounts.find_account,
    ReadProfile: rosters.read_profile,
    ReadHeads: rosters.read_heads,
    ReadLog: log.read_log,
    ReadHistory: log.read_history,
    ReadMembers: groups.read_members,
}
_WRITES: Final[dict[type, Callable[[DatabaseConnection, Any], StoreOutcome]]] = {
    CreateUser: accounts.create_user,
    OpenDevice: accounts.open_device,
    CloseDevice: accounts.close_device,
    AddFriend: friendships.add_friend,
    RemoveFriend: friendships.remove_friend,
    Block: friendships.block,
    Unblock: friendships.unblock,
    CreateGroup: groups.create_group,
    JoinGroup: groups.join_group,
    LeaveGroup: groups.leave_group,
    DeleteGroup: groups.delete_group,
    MarkRead: log.mark_read,
}


READS: Final[frozenset[type]] = frozenset(_READS) | frozenset(_READS_TOGETHER)
"""The operations that change nothing, so that they may run beside the writer."""


def is_read(operation: StoreOperation) -> bool:
    """Whether the operation is one of those."""
    return type(operation) in READS


def execute(connection: DatabaseConnection, operation: StoreOperation) -> StoreOutcome:
    """Carries out one operation as one transaction. Raises StoreError; never gives Unknown."""
    if isinstance(operation, Append):
        return append_batch(connection, AppendCache(), [operation])[0]
    if is_read(operation):
        return read_batch(connection, [operation])[0]
    work = _WRITES[type(operation)]
    try:
        return in_transaction(connection, lambda: work(connection, operation), write=True)
    except Refusal as refusal:
        return Refused(refusal.code)


def read_batch(
    connection: DatabaseConnection, operations: Sequence[StoreOperation]
) -> list[StoreOutcome]:
    """What changes nothing: all as of one moment after the call, answered in their order. Many of
    one kind take hardly more than one. Raises StoreError."""
    return in_transaction(connection, lambda: _read_all(connection, operations), write=False)


def _read_all(
    connection: DatabaseConnection, operations: Sequence[StoreOperation]
) -> list[StoreOutcome]:
    by_kind: dict[type, list[StoreOperation]] = {}
    for operation in operations:
        by_kind.setdefault(type(operation), []).append(operation)
    outcomes = {kind: iter(_read_kind(connection, kind, ops)) for kind, ops in by_kind.items()}
    return [next(outcomes[type(operation)]) for operation in operations]


def _read_kind(
    connection: DatabaseConnection, kind: type, operations: Sequence[StoreOperation]
) -> Sequence[StoreOutcome]:
    if kind in _READS_TOGETHER:
        return _READS_TOGETHER[kind](connection, operations)
    return [_read(connection, operation) for operation in operations]


def _read(connection: DatabaseConnection, operation: StoreOperation) -> StoreOutcome:
    try:
        return _READS[type(operation)](connection, operation)
    except Refusal as refusal:
        return Refused(refusal.code)


def append_batch(
    connection: DatabaseConnection, memory: AppendCache, operations: Sequence[Append]
) -> list[Appended | Refused]:
    """Up to MAX_BATCH appends as one transaction, answered in their order, with the outcomes
    they would have one by one. One that is refused does not harm the others.

    Raises StoreError. After any, even a commit of unknown fate, the same batch may be run again
    on a good connection: keys that were stored are found.
    """
    if not 0 < len(operations) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} appends, not {len(operations)}")
    hopeful = True
    guessed = guess(memory, operations)
    if guessed is not None:
        try:
            in_transaction(connection, lambda: append_guessed(connection, guessed), write=True)
        except Stale:
            memory.failed()
        except DuplicateKey:
            hopeful = False
        else:
            memory.held({conversation: head for conversation, _, _, head in guessed.granted})
            return guessed.outcomes
    if hopeful:
        with contextlib.suppress(DuplicateKey):
            return _append_asking(connection, memory, operations, hopeful=True)
    return _append_asking(connection, memory, operations, hopeful=False)


def _append_asking(
    connection: DatabaseConnection,
    memory: AppendCache,
    operations: Sequence[Append],
    *,
    hopeful: bool,
) -> list[Appended | Refused]:
    batch = in_transaction(
        connection,
        lambda: append_all(connection, memory, operations, hopeful=hopeful),
        write=True,
    )
    for learned in batch.learned:
        memory.learn_conversation(*learned)
    return batch.outcomes
