"""The store as the node's driver uses it: operations in by ticket, outcomes out by ticket.

Theory of operation
-------------------

There are two worker threads, each with a queue and a connection of its own. The *writer* carries
out writes in the order in which they came, the appends at the front of its queue as one transaction
(group commit, see group_commit.py). While a transaction runs the next appends gather, so the busier
the store is, the more a commit carries. The *reader* carries out reads beside the writer, those
that wait at the same time together. A third thread, the *refuser*, only answers `busy` to
operations that found their queue full, so that `submit` neither waits nor calls back.

Every ticket is answered once, and an answer leaves only when its commit has returned. retries.py
says which answer a failure gets. When the store cannot be reached, all that waits is refused at
once with the operation that found out.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, TypeAlias

from chat.core.ports.operations import Append, Refused, StoreOperation
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.group_commit import (
    BUSY,
    UNAVAILABLE,
    Gathering,
    Job,
    JobOutcome,
    answers_to,
    split_reads,
    take_transaction,
)
from chat.storage.retries import TransactionExecutor
from chat.storage.schema import cluster_name, migrate
from chat.storage.worker import WorkerThread

MAX_READS: Final = 32
"""Most reads that are carried out together."""

TakeAnswers: TypeAlias = Callable[[Sequence[JobOutcome]], None]

_log: Final = logging.getLogger(__name__)


class StoreService:
    """Carries out store operations in threads of its own.

    `open_connection` is called from several threads and gives an independent connection each
    time (so SQLite needs a file for it). `take_answers` is called from these threads, with the
    answers of one transaction; it should hand them on and return. `max_queue` is the most
    operations that wait for one thread.
    """

    def __init__(
        self,
        open_connection: Callable[[], DatabaseConnection],
        take_answers: TakeAnswers,
        max_queue: int = 10_000,
    ) -> None:
        self._open_connection = open_connection
        self._take_answers = take_answers
        self._max_queue = max_queue
        self.cluster = ""
        """The name of the cluster, which all nodes on this store share; set by `start`."""
        self._gathering = Gathering()
        self._writer = WorkerThread("store-writer", self._write)
        self._reader = WorkerThread("store-reader", self._read)
        self._refuser = WorkerThread("store-refuser", self._refuse_busy)
        self._writes = TransactionExecutor(open_connection)
        self._reads = TransactionExecutor(open_connection)

    def start(self) -> None:
        """Opens the store, brings its schema up to date and starts the threads. Raises StoreError,
        above all StoreCannotOpen, whose text is for the operator."""
        connection = self._open_connection()
        try:
            for warning in connection.config_warnings():
                _log.warning("%s", warning)
            migrate(connection)
            self.cluster = cluster_name(connection, secrets.token_hex(8))
        except BaseException:
            connection.close()
            raise
        self._writes.use(connection)
        try:
            self._reads.use(self._open_connection())
        except BaseException:
            self._writes.disconnect()
            raise
        for worker in (self._writer, self._reader, self._refuser):
            worker.start()

    def submit(self, ticket: int, operation: StoreOperation) -> None:
        """One operation; see `submit_all`."""
        self.submit_all([(ticket, operation)])

    def submit_all(self, jobs: Sequence[Job]) -> None:
        """Puts operations in their queues and returns at once. Their answers come by
        `take_answers`. From any thread; after `close` no answers come."""
        reads, writes = split_reads(jobs)
        if reads:
            self._put(self._reader, reads)
        if writes:
            self._put(self._writer, writes)

    def _put(self, worker: WorkerThread, jobs: Sequence[Job]) -> None:
        room = max(0, self._max_queue - worker.waiting())
        if room:
            worker.put(jobs[:room])
        if len(jobs) > room:
            self._refuser.put(jobs[room:])

    def close(self) -> None:
        """Answers all that was submitted, ends the threads and closes the store."""
        for worker in (self._writer, self._reader, self._refuser):
            worker.finish()
        self._reads.disconnect()
        self._writes.disconnect()

    # ------------------------------------------------------------- each in its own thread

    def _write(self, queue: deque[Job]) -> None:
        started_s = monotonic()
        wait = self._gathering.wait(queue, started_s)
        if wait is not None:
            self._writer.wait_for(*wait)
            started_s = monotonic()
        jobs = take_transaction(queue)
        outcomes = self._writes.write([operation for _, operation in jobs])
        if type(jobs[0][1]) is Append:
            self._gathering.appended(len(jobs), len(queue), started_s, monotonic())
        self._answer(answers_to(jobs, outcomes))
        if self._writes.is_unreachable:
            self._refuse_all(queue, UNAVAILABLE)

    def _read(self, queue: deque[Job]) -> None:
        jobs = [queue.popleft() for _ in range(min(len(queue), MAX_READS))]
        outcomes = self._reads.read([operation for _, operation in jobs])
        self._answer(answers_to(jobs, outcomes))
        if self._reads.is_unreachable:
            self._refuse_all(queue, UNAVAILABLE)

    def _refuse_busy(self, queue: deque[Job]) -> None:
        self._refuse_all(queue, BUSY)

    def _refuse_all(self, queue: deque[Job], refused: Refused) -> None:
        answers: list[JobOutcome] = []
        while queue:
            answers.append((queue.popleft()[0], refused))
        if answers:
            self._answer(answers)

    def _answer(self, answers: Sequence[JobOutcome]) -> None:
        try:
            self._take_answers(answers)
        except Exception:
            _log.exception("the answers to %d operations could not be handed on", len(answers))
