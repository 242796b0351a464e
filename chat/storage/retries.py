"""Carrying out transactions, with retries where they are safe.

What a transaction that failed is answered by follows from what can have been stored:

- Deadlock, lock timeout, a key that another node has just stored, connection lost before the
  commit: nothing was. It is run again, ATTEMPTS times at most, and then refused with `busy`.
- The commit's reply was lost. It is run again if that is safe (see group_commit.py); otherwise it
  is CommitUnknown. So is a transaction that could not be run again to an end.
- The store cannot be reached or cannot write: refused at once with `unavailable`.
- An internal error: its traceback is logged, and it is answered by the same rule. A transaction of
  several operations is then taken apart, so that the operation at fault fails alone.

A connection that was lost, or on which an unexpected exception was raised, is closed and never used
again; the next transaction opens another.
"""

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple, TypeAlias

from chat.core.ports.operations import CommitUnknown, StoreOperation, StoreOutcome
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import read_batch, write_batch
from chat.storage.errors import (
    Deadlock,
    DuplicateKey,
    LockTimeout,
    LostConnection,
    Stale,
    StoreCannotOpen,
    StoreError,
    StoreUnavailable,
)
from chat.storage.group_commit import BUSY, UNAVAILABLE, is_repeatable

ATTEMPTS: Final = 5
"""How often a transaction is run before it is given up."""

RETRY_S: Final = 0.3
"""How long no connection is tried after one could not be opened."""

_UNKNOWN: Final = CommitUnknown()

_Transaction: TypeAlias = Callable[[Sequence[StoreOperation]], Sequence[StoreOutcome]]
_log: Final = logging.getLogger(__name__)


class _Attempt(NamedTuple):
    """How a transaction went. `outcomes` None: it was given up, and all get `failed`."""

    outcomes: Sequence[StoreOutcome] | None
    failed: StoreOutcome
    is_internal_error: bool = False


class TransactionExecutor:
    """Runs transactions in one thread, over one connection at a time. Never raises.

    `is_unreachable`: the last transaction failed because the store could not be reached, or could
    not write.
    """

    def __init__(self, open_connection: Callable[[], DatabaseConnection]) -> None:
        self._open_connection = open_connection
        self._connection: DatabaseConnection | None = None
        self._cache = AppendCache()
        self._not_before_s = 0.0
        self.is_unreachable = False

    def use(self, connection: DatabaseConnection) -> None:
        """Takes over a connection that is open already."""
        self._connection = connection

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def write(self, operations: Sequence[StoreOperation]) -> Sequence[StoreOutcome]:
        """The outcomes of one transaction of writes, in their order: appends, or any other one."""
        return self._run_or_split(self._write, operations)

    def read(self, operations: Sequence[StoreOperation]) -> Sequence[StoreOutcome]:
        """The outcomes of reads that are carried out together, in their order."""
        return self._run_or_split(self._read, operations)

    def _write(self, operations: Sequence[StoreOperation]) -> Sequence[StoreOutcome]:
        # The connection first: a new one comes with a new cache.
        connection = self._connected()
        return write_batch(connection, self._cache, operations)

    def _read(self, operations: Sequence[StoreOperation]) -> Sequence[StoreOutcome]:
        return read_batch(self._connected(), operations)

    def _run_or_split(
        self, transaction: _Transaction, operations: Sequence[StoreOperation]
    ) -> Sequence[StoreOutcome]:
        attempt = self._run(transaction, operations, BUSY)
        if attempt.outcomes is not None:
            return attempt.outcomes
        if attempt.is_internal_error and len(operations) > 1:
            return [self._run_alone(transaction, one, attempt.failed) for one in operations]
        return [attempt.failed] * len(operations)

    def _run_alone(
        self, transaction: _Transaction, operation: StoreOperation, failed: StoreOutcome
    ) -> StoreOutcome:
        if self.is_unreachable:
            return failed
        attempt = self._run(transaction, [operation], failed)
        return attempt.failed if attempt.outcomes is None else attempt.outcomes[0]

    def _run(
        self,
        transaction: _Transaction,
        operations: Sequence[StoreOperation],
        failed: StoreOutcome,
    ) -> _Attempt:
        """`failed`: the answer if it is given up, as known from earlier attempts. Once it is
        CommitUnknown it stays so."""
        self.is_unreachable = self._connection is None and monotonic() < self._not_before_s
        if self.is_unreachable:
            return _Attempt(None, _not_stored_now(failed))
        for _ in range(ATTEMPTS):
            try:
                return _Attempt(transaction(operations), failed)
            except (Deadlock, LockTimeout, DuplicateKey) as error:
                _log.warning("store: %s; the transaction is run again", error)
            except LostConnection as error:
                _log.warning("store: connection lost: %s", error)
                self.disconnect()
                failed = _UNKNOWN if error.maybe_committed else _not_stored_now(failed)
                if error.maybe_committed and not is_repeatable(operations[0]):
                    break
            except Exception as error:
                # An unexpected exception in a commit is a LostConnection, so this came before the
                # commit. Stale is expected of a speculation only, which falls back by itself.
                is_internal_error = isinstance(error, Stale) or not isinstance(error, StoreError)
                if is_internal_error:
                    _log.exception("store: internal error; the transaction was rolled back")
                else:
                    _log.error("store: %s", error)
                self.disconnect()
                self.is_unreachable = isinstance(error, (StoreUnavailable, StoreCannotOpen))
                return _Attempt(None, _not_stored_now(failed), is_internal_error)
        return _Attempt(None, failed)

    def _connected(self) -> DatabaseConnection:
        if self._connection is None:
            try:
                self._connection = self._open_connection()
            except StoreCannotOpen:
                self._not_before_s = monotonic() + RETRY_S
                raise
            # It may be to a database that knows less: one that was restored, or a replica.
            self._cache = AppendCache()
        return self._connection


def _not_stored_now(failed: StoreOutcome) -> StoreOutcome:
    """What is answered after an attempt that stored nothing, given what was known before it."""
    return failed if isinstance(failed, CommitUnknown) else UNAVAILABLE
