"""A real connection that can be made to fail or to wait, and a collector of answers."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from pathlib import Path

from chat.core.ports.operations import StoreOutcome
from chat.storage.backends.connection import DatabaseConnection, Row, Select, Value
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.errors import Deadlock, LockTimeout, LostConnection, Stale, StoreUnavailable

PATIENCE_S = 20.0


class Fault(Enum):
    """What happens to one transaction."""

    NONE = auto()
    DEADLOCK = auto()
    LOCK_TIMEOUT = auto()
    LOST_BEFORE = auto()
    """The connection is lost before anything was done."""
    LOST_COMMIT = auto()
    """It is lost before the commit arrives: not stored, which the caller cannot know."""
    LOST_REPLY = auto()
    """It is lost before the commit's reply arrives: stored, which the caller cannot know."""
    UNAVAILABLE = auto()
    BUG = auto()
    NULL = auto()
    """A column is made NULL that may not be, by a transaction that did not speculate: a bug."""
    ODD_COMMIT = auto()
    """A commit raises an unexpected exception after it was carried out."""


RAISED_AT_BEGIN: dict[Fault, Callable[[], Exception]] = {
    Fault.DEADLOCK: lambda: Deadlock("deadlock"),
    Fault.LOCK_TIMEOUT: lambda: LockTimeout("lock timeout"),
    Fault.LOST_BEFORE: lambda: LostConnection("lost"),
    Fault.UNAVAILABLE: lambda: StoreUnavailable("unavailable"),
    Fault.BUG: lambda: RuntimeError("bug"),
    Fault.NULL: lambda: Stale("null"),
}


class FaultyStore:
    """A store in a file, and the faults of its next transactions: `plan` of writes, `read_plan` of
    reads. Transactions begin only while `writes_allowed` or `reads_allowed` is set. `opens` says of
    each of the next openings whether it succeeds; all after them do."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chat.db"
        self.plan: deque[Fault] = deque()
        self.read_plan: deque[Fault] = deque()
        self.opens: deque[bool] = deque()
        self.opened = 0
        self.commits = 0
        self.writes_allowed = threading.Event()
        self.reads_allowed = threading.Event()
        self.writes_allowed.set()
        self.reads_allowed.set()
        self.writer_waits = threading.Event()
        self.reader_waits = threading.Event()

    def open(self) -> DatabaseConnection:
        if self.opens and not self.opens.popleft():
            raise StoreUnavailable("unreachable")
        self.opened += 1
        return FaultyConnection(open_sqlite(self.path), self)


class FaultyConnection:
    """A connection with the faults of its store."""

    def __init__(self, inner: DatabaseConnection, faulty_store: FaultyStore) -> None:
        self.name = inner.name
        self.for_update = inner.for_update
        self._inner = inner
        self._store = faulty_store
        self._fault = Fault.NONE
        self._is_lost = False

    def begin(self, *, write: bool) -> None:
        assert not self._is_lost, "a lost connection was used again"
        gate = self._store.writes_allowed if write else self._store.reads_allowed
        (self._store.writer_waits if write else self._store.reader_waits).set()
        assert gate.wait(PATIENCE_S)
        self._fault = Fault.NONE
        plan = self._store.plan if write else self._store.read_plan
        if plan:
            self._fault = plan.popleft()
        if self._fault in RAISED_AT_BEGIN:
            error = RAISED_AT_BEGIN[self._fault]()
            self._is_lost = isinstance(error, LostConnection)
            raise error
        self._inner.begin(write=write)

    def commit(self) -> None:
        if self._fault is Fault.LOST_COMMIT:
            self._inner.rollback()
            self._is_lost = True
            raise LostConnection("lost", maybe_committed=True)
        self._inner.commit()
        self._store.commits += 1
        if self._fault is Fault.LOST_REPLY:
            self._is_lost = True
            raise LostConnection("lost", maybe_committed=True)
        if self._fault is Fault.ODD_COMMIT:
            raise RuntimeError("odd")

    def rollback(self) -> None:
        self._inner.rollback()

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._inner.query(sql, parameters)

    def select(self, *selects: Select) -> list[list[Row]]:
        return self._inner.select(*selects)

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        self._inner.execute(sql, parameters)

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        self._inner.insert_rows(sql, rows)

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        return self._inner.insert(sql, parameters)

    def schema_lock(self) -> AbstractContextManager[None]:
        return self._inner.schema_lock()

    def define(self, statement: str) -> None:
        self._inner.define(statement)

    def config_warnings(self) -> list[str]:
        return self._inner.config_warnings()

    def close(self) -> None:
        self._inner.close()


class Answers:
    """Collects what a service answers, call by call."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, StoreOutcome]]] = []
        self._arrived = threading.Condition()

    def __call__(self, answers: Sequence[tuple[int, StoreOutcome]]) -> None:
        with self._arrived:
            self.calls.append(list(answers))
            self._arrived.notify_all()

    def by_ticket(self) -> dict[int, StoreOutcome]:
        """Fails if a ticket was answered twice."""
        answers = [answer for call in self.calls for answer in call]
        assert len(dict(answers)) == len(answers)
        return dict(answers)

    def wait_for(self, *tickets: int) -> list[StoreOutcome]:
        """The outcomes of these tickets, as soon as all are there."""
        with self._arrived:
            arrived = self._arrived.wait_for(
                lambda: set(tickets) <= set(self.by_ticket()), PATIENCE_S
            )
            assert arrived, f"no answer to {set(tickets) - set(self.by_ticket())}"
            return [self.by_ticket()[ticket] for ticket in tickets]
