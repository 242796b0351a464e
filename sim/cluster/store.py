"""The store of a simulated cluster: the real transactions on one SQLite in memory, and the faults
between them and a node.

Every node has a `StoreLink`, which stands for chat/storage/service.py: it has virtual time where
that has threads, and decides by the same functions (chat/storage/group_commit.py) which writes
share a transaction and what may be run again. A transaction runs at one instant, the *commit*; a
delay for the request comes before it, and one for the reply after it. The faults:

- `deadlock`, `lock_timeout`: the transaction is rolled back and run again a little later;
- `lost_reply`: it is committed, but the reply is lost. It is run again if that is safe; otherwise
  the outcome is CommitUnknown;
- `late_commit`: the caller has given up (CommitUnknown) before the commit comes; until then the
  transaction holds its locks, and no other commits before it;
- `slow`: request or reply takes long;
- down: everything is refused at once, as long as the store is away. What was committed stays.

A node that dies within a transaction leaves it committed or not, at random.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from chat.core.ports.operations import (
    Append,
    Appended,
    CommitUnknown,
    StoreOperation,
    StoreOutcome,
)
from chat.storage.append.cache import AppendCache
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sqlite import IN_MEMORY, open_sqlite
from chat.storage.dispatch import execute, is_read, write_batch
from chat.storage.group_commit import (
    UNAVAILABLE,
    Job,
    JobOutcome,
    answers_to,
    is_repeatable,
    take_transaction,
)
from chat.storage.schema import migrate
from sim.cluster.injection_points import InjectionPoints, InjectionTarget, Phase
from sim.cluster.trace import FaultRecord, StoreRecord, Trace
from sim.cluster.world import World

TakeAnswers = Callable[[list[JobOutcome]], None]


@dataclass
class StoreFaults:
    """How likely each fault is for a write, 0 to 1; and the delays of request and reply."""

    deadlock: float = 0.0
    lock_timeout: float = 0.0
    lost_reply: float = 0.0
    late_commit: float = 0.0
    slow: float = 0.0
    delay_ms: tuple[int, int] = (0, 3)
    slow_ms: tuple[int, int] = (200, 4_000)
    read_ms: tuple[int, int] = (0, 0)
    """How much longer the reply to a read takes."""
    counts: dict[str, int] = field(default_factory=dict)
    phases: dict[tuple[str, Phase], int] = field(default_factory=dict)
    """How often each fault came while an append was in that phase."""


class SimStore:
    """The one store that all nodes share."""

    def __init__(self, world: World, injection_points: InjectionPoints, trace: Trace) -> None:
        self.world = world
        self.injection_points = injection_points
        self.trace = trace
        self.connection: DatabaseConnection = open_sqlite(IN_MEMORY)
        migrate(self.connection)
        self.faults = StoreFaults()
        self.judge: Callable[[StoreOperation, StoreOutcome], None] = lambda operation, outcome: None
        """Looks at each write, at the instant when it was committed or refused."""
        self.up = True
        self.locked_until_ms = 0

    def link(self, node: str, take_answers: TakeAnswers) -> "StoreLink":
        return StoreLink(self, node, take_answers)


class StoreLink:
    """One node's connection to the store. `cut` is a partition between the two."""

    def __init__(self, store: SimStore, node: str, take_answers: TakeAnswers) -> None:
        self._store = store
        self._node = node
        self._world = store.world
        self._rng = store.world.random_stream("store")
        self._take_answers = take_answers
        self._cache = AppendCache()
        self._writes: deque[Job] = deque()
        self._writing = False
        self._dead = False
        self._last_arrival_ms = 0
        self.cut = False

    @property
    def reachable(self) -> bool:
        return self._store.up and not self.cut

    def submit(self, ticket: int, operation: StoreOperation) -> None:
        if is_read(operation):
            self._world.later(self._delay_ms(), self._read, ticket, operation)
            return
        if self._writing:
            self._reached(Phase.QUEUED, operation)
        self._writes.append((ticket, operation))
        self._write_next()

    def kill(self) -> None:
        """The node is gone: what waits is not carried out, and no answer arrives any more."""
        self._dead = True
        if self._writing and self._writes and self._rng.random() < 0.5:
            jobs = take_transaction(self._writes)
            self._world.later(1, self._run_late, [operation for _, operation in jobs])
        self._writes.clear()

    # ------------------------------------------------------------------ reads

    def _read(self, ticket: int, operation: StoreOperation) -> None:
        if self._dead:
            return
        outcome: StoreOutcome = UNAVAILABLE
        if self.reachable:
            outcome = execute(self._store.connection, operation)
            self._note([operation], [outcome])
        read_ms = self._rng.randint(*self._store.faults.read_ms)
        self._world.later(self._delay_ms() + read_ms, self._arrive, [(ticket, outcome)])

    # ------------------------------------------------------------------ writes

    def _write_next(self) -> None:
        if self._writing or not self._writes:
            return
        self._writing = True
        first = self._writes[0][1]
        self._reached(Phase.IN_TRANSACTION, first)
        self._world.later(self._delay_ms(Phase.IN_TRANSACTION, first), self._commit, 0)

    def _commit(self, attempts: int) -> None:
        """The instant of the transaction."""
        if self._dead or not self._writes:
            self._writing = False
            return
        if not self.reachable:
            self._reply([(ticket, UNAVAILABLE) for ticket, _ in self._writes])
            self._writes.clear()
            self._writing = False
            return
        first = self._writes[0][1]
        if attempts < 4 and any(
            self._injects(fault, Phase.IN_TRANSACTION, first)
            for fault in ("deadlock", "lock_timeout")
        ):
            self._world.later(self._rng.randint(1, 50), self._commit, attempts + 1)
            return
        locked_ms = self._store.locked_until_ms - self._world.now_ms
        if locked_ms > 0:
            self._world.later(locked_ms, self._commit, attempts)
            return
        jobs = take_transaction(self._writes)
        if self._injects("late_commit", Phase.IN_TRANSACTION, first):
            self._reply([(ticket, CommitUnknown()) for ticket, _ in jobs])
            delay_ms = self._rng.randint(1, 2_000)
            self._store.locked_until_ms = self._world.now_ms + delay_ms
            self._world.later(delay_ms, self._run_late, [operation for _, operation in jobs])
        elif self._injects("lost_reply", Phase.COMMITTED, first):
            self._lose_reply(jobs)
        else:
            self._reply_each(jobs, self._run([operation for _, operation in jobs]))
        self._writing = False
        self._write_next()

    def _run(self, operations: list[StoreOperation]) -> list[StoreOutcome]:
        outcomes = list(write_batch(self._store.connection, self._cache, operations))
        self._note(operations, outcomes)
        for operation, outcome in zip(operations, outcomes, strict=True):
            self._store.judge(operation, outcome)
        for operation, outcome in zip(operations, outcomes, strict=True):
            if isinstance(outcome, Appended) and not outcome.repeated:
                self._reached(Phase.COMMITTED, operation)
                break
        return outcomes

    def _note(self, operations: list[StoreOperation], outcomes: list[StoreOutcome]) -> None:
        trace = self._store.trace
        if trace.keep:
            trace.note(StoreRecord(self._world.now_ms, self._node, operations, outcomes))

    def _run_late(self, operations: list[StoreOperation]) -> None:
        if self._store.up:
            self._run(operations)

    def _lose_reply(self, jobs: list[Job]) -> None:
        """The transaction is committed and its reply lost."""
        operations = [operation for _, operation in jobs]
        outcomes = self._run(operations)
        if is_repeatable(operations[0]):
            outcomes = self._run(operations)
        else:
            outcomes = [CommitUnknown() for _ in outcomes]
        self._reply_each(jobs, outcomes)

    # ------------------------------------------------------------------ delays and faults

    def _reply_each(self, jobs: list[Job], outcomes: list[StoreOutcome]) -> None:
        self._reply(answers_to(jobs, outcomes), jobs[0][1])

    def _reply(self, answers: list[JobOutcome], operation: StoreOperation | None = None) -> None:
        """The answers of a transaction leave together, and arrive in order."""
        delay_ms = self._delay_ms(Phase.COMMITTED, operation)
        at_ms = max(self._last_arrival_ms, self._world.now_ms + delay_ms)
        self._last_arrival_ms = at_ms
        self._world.later(at_ms - self._world.now_ms, self._arrive, answers)

    def _arrive(self, answers: list[JobOutcome]) -> None:
        if not self._dead:
            self._take_answers(answers)

    def _delay_ms(
        self, phase: Phase = Phase.QUEUED, operation: StoreOperation | None = None
    ) -> int:
        faults = self._store.faults
        if self._injects("slow", phase, operation):
            return self._rng.randint(*faults.slow_ms)
        return self._rng.randint(*faults.delay_ms)

    def _reached(self, phase: Phase, operation: StoreOperation) -> None:
        if isinstance(operation, Append):
            self._store.injection_points.reached(
                phase, InjectionTarget(self._node, operation.sender)
            )

    def _injects(self, fault: str, phase: Phase, operation: StoreOperation | None) -> bool:
        """Draws whether the fault comes while the operation is in that phase."""
        faults = self._store.faults
        likely: float = getattr(faults, fault)
        if not likely or self._rng.random() >= likely:
            return False
        faults.counts[fault] = faults.counts.get(fault, 0) + 1
        if isinstance(operation, Append):
            faults.phases[fault, phase] = faults.phases.get((fault, phase), 0) + 1
        now_ms, parties = self._world.now_ms, (self._node, "store")
        self._store.trace.note(FaultRecord(now_ms, f"store_{fault}", parties, now_ms))
        return True
