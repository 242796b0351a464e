"""Every store operation, carried out over a connection, by the type of the operation.

One operation is one transaction, and all that it decides it decides under locks that it holds to
its commit. All transactions take locks in one order: conversations by number, then users by
number. What a user may do is looked up in the generated access tables under those locks.

An outcome is returned only after the commit has returned. A transaction with the outcome `Refused`
was rolled back, so nothing of it is stored. What is raised is a StoreError, each of which says
whether anything may be stored, or, for a bug, any other exception after a rollback.
"""

from collections.abc import Sequence
from typing import Final, cast

from chat.core.ports.operations import Append, StoreOperation, StoreOutcome
from chat.storage.append.batch import append_batch
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.transactions import accounts, friendships, groups, log, rosters
from chat.storage.transactions.access import Refusal
from chat.storage.transactions.tables import BatchReads, Transactions

_READS_TOGETHER: Final[BatchReads] = accounts.READS_TOGETHER | rosters.READS_TOGETHER
_READS: Final[Transactions] = accounts.READS | groups.READS | log.READS | rosters.READS
_WRITES: Final[Transactions] = accounts.WRITES | friendships.WRITES | groups.WRITES | log.WRITES

READS: Final[frozenset[type]] = frozenset(_READS) | frozenset(_READS_TOGETHER)
"""The types of the operations that change nothing, so that they may run beside the writes."""


def is_read(operation: StoreOperation) -> bool:
    """Whether the operation changes nothing."""
    return type(operation) in READS


def execute(connection: DatabaseConnection, operation: StoreOperation) -> StoreOutcome:
    """Carries out one operation as one transaction. Raises StoreError, and never returns
    CommitUnknown."""
    if is_read(operation):
        return read_batch(connection, [operation])[0]
    return write_batch(connection, AppendCache(), [operation])[0]


def write_batch(
    connection: DatabaseConnection, cache: AppendCache, operations: Sequence[StoreOperation]
) -> Sequence[StoreOutcome]:
    """One transaction of writes, as `take_transaction` puts them together: appends, or any other
    write alone. Raises StoreError; never gives CommitUnknown."""
    if type(operations[0]) is Append:
        return append_batch(connection, cache, cast("Sequence[Append]", operations))
    (operation,) = operations
    return [_write(connection, operation)]


def _write(connection: DatabaseConnection, operation: StoreOperation) -> StoreOutcome:
    work = _WRITES[type(operation)]
    try:
        return in_transaction(connection, lambda: work(connection, operation), write=True)
    except Refusal as refusal:
        return refusal.refused


def read_batch(
    connection: DatabaseConnection, operations: Sequence[StoreOperation]
) -> list[StoreOutcome]:
    """Reads, all as of one moment after the call, answered in their order. Many of one type take
    hardly longer than one. Raises StoreError."""
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
        return refusal.refused
