"""The store as the node's driver uses it: operations in by ticket, outcomes out by ticket.

Two threads, each with a connection of its own, work off two queues. The *writer* takes waiting
operations in their order: the appends that stand together at the front go into one transaction,
up to MAX_BATCH of them, and any other write is a transaction by itself. While a transaction
runs the next appends gather, so the busier the store is, the more a commit carries. Those who have
just been answered are likely to write again at once; so the next transaction waits until as many
appends are there as were when the last one ended, but no longer than that one took, nor than
MOST_GATHER_S. A commit for all takes little more than one for half of them, so nobody waits for two
commits who would have waited for one. The *reader* answers what changes
nothing, beside the writer. A third thread only says `busy` for what finds its queue full, so that
`submit` neither waits nor calls back.

Every ticket is answered once, and an answer leaves only when its commit has returned. Which
answer a failure gets follows from what can have been stored:

- Deadlock, lock timeout, a key that another node has just stored, connection lost before the
  commit: nothing was. All of it is run again, a bounded number of times, and then refused.
- The commit's reply was lost. A batch of appends is run again, for its keys make that safe; any
  other write is `Unknown`. So is a batch that could not be run again to an end.
- The store cannot be reached or cannot write: refused, at once, with all that waits behind it.
- A bug: its traceback goes to the log, and it is answered by the same rule. The thread lives on.
  A batch is then taken apart, so that whichever operation is at fault fails alone.

A connection that was lost, or in whose use anything unforeseen happened, is closed and never
used again; the next turn opens another.
"""

import contextlib
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, NamedTuple, TypeAlias, TypeVar, cast

from chat.core.ports.operations import Append, Refused, StoreOperation, StoreOutcome, Unknown
from chat.protocol.errors import ErrorCode
from chat.storage.append.batch import MAX_BATCH
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection
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
from chat.storage.schema import cluster_name, migrate
from chat.storage.transactions.execute import READS, append_batch, execute, read_batch

ATTEMPTS: Final = 5
"""How often a transaction is run before it is given up."""

RETRY_S: Final = 0.3
"""How long a store that could not be reached is left alone."""

GATHER: Final = 1.0
MOST_GATHER_S: Final = 0.004
"""What part of the last transaction's time, and how long at most, appends are gathered."""

MAX_READS: Final = 32
"""Most reads that are answered together."""

Job: TypeAlias = tuple[int, StoreOperation]
Answers: TypeAlias = Callable[[Sequence[tuple[int, StoreOutcome]]], None]

_Work: TypeAlias = Callable[[DatabaseConnection], Sequence[StoreOutcome]]
_Operation = TypeVar("_Operation", bound=StoreOperation)
_Batch: TypeAlias = Callable[[DatabaseConnection, Sequence[_Operation]], Sequence[StoreOutcome]]

_BUSY: Final = Refused(ErrorCode.BUSY)
_UNAVAILABLE: Final = Refused(ErrorCode.UNAVAILABLE)
_UNKNOWN: Final = Unknown()
_log: Final = logging.getLogger(__name__)


class StoreService:
    """Carries out store operations in threads of its own.

    `open_connection` is called from several threads and gives an independent connection each
    time (so SQLite needs a file for it). `answers` is called from these threads, with the
    outcomes of one turn; it should hand them on and return. `max_queue` is the most operations
    that wait for one thread.
    """

    def __init__(
        self,
        open_connection: Callable[[], DatabaseConnection],
        answers: Answers,
        max_queue: int = 10_000,
    ) -> None:
        self._open_connection = open_connection
        self._answers = answers
        self._max_queue = max_queue
        self.cluster = ""
        """What the nodes that share the store are called, once it has started."""
        self._expected = 0
        self._gather_until_s = 0.0
        self._writer = _Lane("store-writer", self._write_turn)
        self._reader = _Lane("store-reader", self._read_turn)
        self._refuser = _Lane("store-refuser", self._refuse_turn)
        self._writing = _Runner(open_connection)
        self._reading = _Runner(open_connection)

    def start(self) -> None:
        """Opens the store, brings its schema up to date and starts the threads. Raises StoreError,
        above all StoreCannotOpen, whose text is for a person."""
        connection = self._open_connection()
        try:
            for doubt in connection.config_warnings():
                _log.warning("%s", doubt)
            migrate(connection)
            self.cluster = cluster_name(connection, secrets.token_hex(8))
        except BaseException:
            connection.close()
            raise
        self._writing.use(connection)
        try:
            self._reading.use(self._open_connection())
        except BaseException:
            self._writing.drop()
            raise
        for lane in (self._writer, self._reader, self._refuser):
            lane.start()

    def submit(self, ticket: int, operation: StoreOperation) -> None:
        """One operation; see `submit_all`."""
        self.submit_all([(ticket, operation)])

    def submit_all(self, jobs: Sequence[Job]) -> None:
        """Puts operations in their queues and returns at once. Their outcomes come by `answers`.
        From any thread; after `close` they come to nothing."""
        reads = [job for job in jobs if type(job[1]) in READS]
        if reads:
            self._put(self._reader, reads)
            jobs = [job for job in jobs if type(job[1]) not in READS]
        if jobs:
            self._put(self._writer, jobs)

    def _put(self, lane: "_Lane", jobs: Sequence[Job]) -> None:
        room = max(0, self._max_queue - lane.waiting())
        if room:
            lane.put(jobs[:room])
        if len(jobs) > room:
            self._refuser.put(jobs[room:])

    def close(self) -> None:
        """Answers all that was submitted, ends the threads and closes the store."""
        for lane in (self._writer, self._reader, self._refuser):
            lane.finish()
        self._reading.drop()
        self._writing.drop()

    # ------------------------------------------------------------- turns, each in its thread

    def _write_turn(self, waiting: deque[Job]) -> None:
        started_s = monotonic()
        if started_s < self._gather_until_s and _is_open(waiting):
            self._writer.gather(self._expected, self._gather_until_s - started_s)
            started_s = monotonic()
        jobs: list[Job] = []
        while waiting and len(jobs) < MAX_BATCH and type(waiting[0][1]) is Append:
            jobs.append(waiting.popleft())
        if jobs:
            outcomes = self._writing.append(cast("list[Append]", [append for _, append in jobs]))
            ended_s = monotonic()
            self._expected = min(MAX_BATCH, len(jobs) + len(waiting))
            self._gather_until_s = ended_s + min(MOST_GATHER_S, GATHER * (ended_s - started_s))
            self._answer(_paired(jobs, outcomes))
        else:
            ticket, operation = waiting.popleft()
            self._answer([(ticket, self._writing.execute(operation))])
        if self._writing.unreachable:
            self._refuse(waiting, _UNAVAILABLE)

    def _read_turn(self, waiting: deque[Job]) -> None:
        jobs = [waiting.popleft() for _ in range(min(len(waiting), MAX_READS))]
        outcomes = self._reading.read([operation for _, operation in jobs])
        self._answer(_paired(jobs, outcomes))
        if self._reading.unreachable:
            self._refuse(waiting, _UNAVAILABLE)

    def _refuse_turn(self, waiting: deque[Job]) -> None:
        self._refuse(waiting, _BUSY)

    def _refuse(self, waiting: deque[Job], refused: Refused) -> None:
        answers: list[tuple[int, StoreOutcome]] = []
        while waiting:
            answers.append((waiting.popleft()[0], refused))
        if answers:
            self._answer(answers)

    def _answer(self, answers: Sequence[tuple[int, StoreOutcome]]) -> None:
        try:
            self._answers(answers)
        except Exception:
            _log.exception("the answers to %d operations could not be handed on", len(answers))


def _is_open(waiting: deque[Job]) -> bool:
    """Whether an append that comes now will be in the next transaction. Other threads put jobs in
    meanwhile, so it is not iterated over."""
    count = min(len(waiting), MAX_BATCH)
    return all(type(waiting[place][1]) is Append for place in range(count))


def _paired(
    jobs: Sequence[Job], outcomes: Sequence[StoreOutcome]
) -> list[tuple[int, StoreOutcome]]:
    return [(ticket, outcome) for (ticket, _), outcome in zip(jobs, outcomes, strict=True)]


class _Run(NamedTuple):
    """How a transaction went. `outcomes` None: it was given up, and all get `failed`."""

    outcomes: Sequence[StoreOutcome] | None
    failed: StoreOutcome
    is_bug: bool = False


class _Lane:
    """A thread and the queue it works off, turn by turn. A turn takes from the front of what
    waits, and takes at least one.

    Whoever puts a job in the queue wakes the thread only if it sleeps. It says so before it looks
    at the queue for the last time, so that no job is left lying.
    """

    def __init__(self, name: str, turn: Callable[[deque[Job]], None]) -> None:
        self._queue: deque[Job] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._turn = turn
        self._sleeps = False
        self._enough = 1
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def waiting(self) -> int:
        return len(self._queue)

    def put(self, jobs: Sequence[Job]) -> None:
        self._queue.extend(jobs)
        if self._sleeps and len(self._queue) >= self._enough:
            self._sleeps = False
            self._wake.put(None)

    def gather(self, count: int, limit_s: float) -> None:
        """From its own thread: waits until so many jobs wait, or for so long."""
        self._enough = count
        self._sleeps = True
        if len(self._queue) < count and self._is_open:
            with contextlib.suppress(Empty):
                self._wake.get(timeout=limit_s)
        self._sleeps = False
        self._enough = 1

    def finish(self) -> None:
        """Lets the thread do what waits, and waits for it."""
        self._is_open = False
        self._wake.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._is_open or self._queue:
            self._sleeps = True
            if not self._queue and self._is_open:
                self._wake.get()
            self._sleeps = False
            if self._queue:
                self._turn(self._queue)


class _Runner:
    """Runs operations over one connection at a time, and again where that is safe. Never raises.

    `unreachable`: the last run ended because the store could not be reached or not write.
    """

    def __init__(self, open_connection: Callable[[], DatabaseConnection]) -> None:
        self._open_connection = open_connection
        self._connection: DatabaseConnection | None = None
        self._memory = AppendCache()
        self._not_before_s = 0.0
        self.unreachable = False

    def use(self, connection: DatabaseConnection) -> None:
        self._connection = connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def execute(self, operation: StoreOperation) -> StoreOutcome:
        """A write, but not an append."""
        run = self._run(lambda connection: [execute(connection, operation)], repeatable=False)
        return run.failed if run.outcomes is None else run.outcomes[0]

    def append(self, appends: Sequence[Append]) -> Sequence[StoreOutcome]:
        """The outcomes of a batch, in its order."""
        return self._together(self._append_batch, appends)

    def _append_batch(
        self, connection: DatabaseConnection, appends: Sequence[Append]
    ) -> Sequence[StoreOutcome]:
        return append_batch(connection, self._memory, appends)

    def read(self, operations: Sequence[StoreOperation]) -> Sequence[StoreOutcome]:
        """The outcomes of what changes nothing, in its order."""
        return self._together(read_batch, operations)

    def _together(
        self, work: _Batch[_Operation], operations: Sequence[_Operation]
    ) -> Sequence[StoreOutcome]:
        run = self._run(lambda connection: work(connection, operations), repeatable=True)
        if run.outcomes is not None:
            return run.outcomes
        if run.is_bug and len(operations) > 1:
            return [self._alone(work, operation, run.failed) for operation in operations]
        return [run.failed] * len(operations)

    def _alone(
        self, work: _Batch[_Operation], operation: _Operation, failed: StoreOutcome
    ) -> StoreOutcome:
        if self.unreachable:
            return failed
        run = self._run(
            lambda connection: work(connection, [operation]), repeatable=True, failed=failed
        )
        return run.failed if run.outcomes is None else run.outcomes[0]

    def _run(self, work: _Work, *, repeatable: bool, failed: StoreOutcome = _BUSY) -> _Run:
        """`repeatable`: to run it again does no harm, even if it was committed. `failed`: what is
        known from earlier runs; once it is Unknown it stays so."""
        self.unreachable = self._connection is None and monotonic() < self._not_before_s
        if self.unreachable:
            return _Run(None, _worse(failed))
        for _ in range(ATTEMPTS):
            try:
                if self._connection is None:
                    self._connection = self._open()
                return _Run(work(self._connection), failed)
            except (Deadlock, LockTimeout, DuplicateKey) as error:
                _log.warning("store: %s; the transaction is run again", error)
            except LostConnection as error:
                _log.warning("store: connection lost: %s", error)
                self.drop()
                failed = _UNKNOWN if error.maybe_committed else _worse(failed)
                if error.maybe_committed and not repeatable:
                    break
            except Exception as error:
                # Whatever goes wrong in a commit is a LostConnection, so this came before it. Only
                # what was guessed may be stale, and whoever guessed has seen to that.
                is_bug = isinstance(error, Stale) or not isinstance(error, StoreError)
                if is_bug:
                    _log.exception("store: a bug; the transaction was rolled back")
                else:
                    _log.error("store: %s", error)
                self.drop()
                self.unreachable = isinstance(error, (StoreUnavailable, StoreCannotOpen))
                return _Run(None, _worse(failed), is_bug)
        return _Run(None, failed)

    def _open(self) -> DatabaseConnection:
        """Whoever could not be reached is left alone for a while."""
        try:
            connection = self._open_connection()
        except StoreCannotOpen:
            self._not_before_s = monotonic() + RETRY_S
            raise
        # It may be to a database that knows less: one that was restored, or a replica.
        self._memory = AppendCache()
        return connection


def _worse(failed: StoreOutcome) -> StoreOutcome:
    """What is answered when it failed once more, without a trace this time."""
    return failed if isinstance(failed, Unknown) else _UNAVAILABLE
