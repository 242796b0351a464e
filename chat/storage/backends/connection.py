"""What the transactions need of a database. SQLite and MySQL each have a module that gives it.

The SQL of the transactions is the same for all. A connection takes care of what is not: the
mark of a parameter (`?` in our text), how a transaction begins, what a row lock is called and
which exceptions the driver raises. One connection is used by one thread at a time.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from chat.storage.errors import LostConnection, StoreError

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Any, ...]
"""The columns of one row; which types they have is known from the statement."""

T = TypeVar("T")


class DatabaseConnection(Protocol):
    """A session with a database. Every method raises the StoreErrors that fit. Any other
    exception is a bug in a statement."""

    name: str
    """What a person calls the store: its path or its address, without a password."""

    for_update: str
    """What is put after a SELECT to lock its rows until the commit: " FOR UPDATE", or nothing
    where `begin(write=True)` locks the whole store."""

    def begin(self, *, write: bool) -> None:
        """Begins a transaction. With `write` every statement sees what was committed before it
        started (READ COMMITTED or better); without, all see the store as it was at one moment."""
        ...

    def commit(self) -> None:
        """When it returns, the transaction is durable. LostConnection(maybe_committed=True) if it
        cannot be known; any other StoreError means that nothing was stored."""
        ...

    def rollback(self) -> None:
        """Ends the transaction without a trace. It is no mistake if there is none."""
        ...

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT."""
        ...

    def query_all(self, *statements: tuple[str, Sequence[Value]]) -> list[list[Row]]:
        """The rows of several SELECTs, which are carried out one after the other."""
        ...

    def pack(self, *columns: str) -> str:
        """These columns as a SELECT lists them whose rows are then unpacked. None of them is NULL,
        and only the last has spaces in it. What a driver written in Python takes for a row it
        takes for each column again; one that is saves that."""
        ...

    def unpack(self, rows: list[Row], width: int) -> Iterable[Sequence[Any]]:
        """The `width` columns of each row; numbers may have become texts."""
        ...

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        """A statement without rows. What it raises may be raised by a later call, the commit at
        the latest, so that it can be sent along with that; what comes after it is then not carried
        out. Raises Stale if it makes a column NULL that may not be."""
        ...

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        """An INSERT of at least one row, as text up to its VALUES. A column has values of one kind.
        What it raises may come later, as with `execute`."""
        ...

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """An INSERT of one row; the number the database gave it."""
        ...

    def schema_lock(self) -> AbstractContextManager[None]:
        """Keeps others from changing the schema for as long as it is entered."""
        ...

    def define(self, statement: str) -> None:
        """A statement of a migration, as this database writes it. It is no mistake if the table or
        column that it adds is there."""
        ...

    def config_warnings(self) -> list[str]:
        """What a person should know of the database's settings, because it breaks a promise."""
        ...

    def close(self) -> None:
        """Ends the session; what was not committed is gone. Never raises."""
        ...


def in_transaction(connection: DatabaseConnection, work: Callable[[], T], *, write: bool) -> T:
    """Runs `work` as one transaction and gives its result once the commit has returned.

    Whatever `work` raises is raised after a rollback. A commit whose fate is open raises
    LostConnection with `maybe_committed`.
    """
    connection.begin(write=write)
    try:
        result = work()
    except BaseException:
        _roll_back(connection)
        raise
    try:
        connection.commit()
    except LostConnection:
        raise
    except StoreError:
        _roll_back(connection)
        raise
    except Exception as error:
        raise LostConnection(f"commit failed: {error}", maybe_committed=True) from error
    return result


def _roll_back(connection: DatabaseConnection) -> None:
    # The first error counts. A connection that cannot even roll back says so at its next use.
    with contextlib.suppress(StoreError):
        connection.rollback()
