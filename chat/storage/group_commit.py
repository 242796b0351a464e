"""Group commit: which operations share a transaction, how long more of them are gathered, and which
may be run again.

Pure, so that the service decides by it in its threads, and the simulator in virtual time.

- Writes are carried out in the order in which they came. The appends at the front of the queue
  share one transaction, up to MAX_BATCH; any other write is a transaction by itself.
- When the reply to a commit is lost, a transaction of appends is run again: their keys make that
  safe. Of any other write the outcome is CommitUnknown.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from chat.core.ports.operations import Append, Refused, StoreOperation, StoreOutcome
from chat.protocol.errors import ErrorCode
from chat.storage.append.batch import MAX_BATCH
from chat.storage.dispatch import READS

Job: TypeAlias = tuple[int, StoreOperation]
"""A ticket and what is to be carried out for it."""

JobOutcome: TypeAlias = tuple[int, StoreOutcome]
"""A ticket and the outcome of its operation."""

BUSY: Final = Refused(ErrorCode.BUSY)
"""The queue was full, or each attempt at the transaction failed."""
UNAVAILABLE: Final = Refused(ErrorCode.UNAVAILABLE)
"""The store cannot be reached, or failed."""


GATHER_FRACTION: Final = 1.0
MAX_GATHER_S: Final = 0.004
"""What part of the last transaction's time, and how long at most, appends are gathered."""


class Gathering:
    """How long the writer gathers appends before it begins a transaction.

    Clients that were just answered are likely to write again at once. So the writer waits until as
    many appends are there as there were at the end of the last transaction, but no longer than that
    one took, and MAX_GATHER_S at most. A commit for all takes little more than one for half of
    them, so no client waits for two commits that would have waited for one.
    """

    def __init__(self) -> None:
        self._expected = 0
        self._until_s = 0.0

    def wait(self, queue: deque[Job], now_s: float) -> tuple[int, float] | None:
        """How many appends to wait for, and for how many seconds at most; None: begin now."""
        if now_s < self._until_s and admits_appends(queue):
            return self._expected, self._until_s - now_s
        return None

    def appended(self, count: int, waiting: int, started_s: float, ended_s: float) -> None:
        """A transaction of `count` appends has ended, and `waiting` operations are queued."""
        self._expected = min(MAX_BATCH, count + waiting)
        self._until_s = ended_s + min(MAX_GATHER_S, GATHER_FRACTION * (ended_s - started_s))


def split_reads(jobs: Sequence[Job]) -> tuple[Sequence[Job], Sequence[Job]]:
    """The reads, which may run beside the writes, and the writes."""
    reads = [job for job in jobs if type(job[1]) in READS]
    if not reads:
        return reads, jobs
    return reads, [job for job in jobs if type(job[1]) not in READS]


def take_transaction(queue: deque[Job]) -> list[Job]:
    """Takes the writes of the next transaction off the front of the queue, which is not empty."""
    jobs = [queue.popleft()]
    if type(jobs[0][1]) is Append:
        while queue and len(jobs) < MAX_BATCH and type(queue[0][1]) is Append:
            jobs.append(queue.popleft())
    return jobs


def admits_appends(queue: deque[Job]) -> bool:
    """Whether an append that comes now would still share the next transaction, or a full one is
    waiting. Another thread may add to the queue meanwhile, so it is not iterated over."""
    count = min(len(queue), MAX_BATCH)
    return all(type(queue[index][1]) is Append for index in range(count))


def is_repeatable(operation: StoreOperation) -> bool:
    """Whether the operation may be run again though it may have been committed."""
    return type(operation) is Append or type(operation) in READS


def answers_to(jobs: Sequence[Job], outcomes: Sequence[StoreOutcome]) -> list[JobOutcome]:
    """The outcomes with the tickets of their jobs."""
    return [(ticket, outcome) for (ticket, _), outcome in zip(jobs, outcomes, strict=True)]
