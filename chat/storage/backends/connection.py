"""What the transactions need of a database. SQLite and MySQL each have modules that provide it.

The SQL of the transactions is the same for all databases. A connection takes care of what differs:
the mark of a parameter (`?` in our text), how a transaction begins, what a row lock is called, how
rows are read fast, and which exceptions the driver raises. One connection is used by one thread at
a time.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from chat.storage.errors import LostConnection, StoreError

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Any, ...]
"""The columns of one row; which types they have is known from the statement."""

T = TypeVar("T")


class ColumnType(Enum):
    """What the values of a column are. None is ever NULL."""

    INTEGER = auto()
    WORD = auto()
    """A text without spaces."""
    TEXT = auto()
    """Any text."""


class Column(NamedTuple):
    """An SQL expression in the list of a SELECT."""

    expression: str
    type: ColumnType


class Columns:
    """The list of a SELECT, with types. Made once for each statement, as a constant: a backend
    keeps what it works out from it. A TEXT is best put last (see mysql_packing.py)."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns
        self.sql = ", ".join(column.expression for column in columns)


class Select(NamedTuple):
    """A SELECT: its columns, the statement from FROM on, and the parameters."""

    columns: Columns
    source: str
    parameters: Sequence[Value] = ()


def integer(expression: str) -> Column:
    return Column(expression, ColumnType.INTEGER)


def word(expression: str) -> Column:
    return Column(expression, ColumnType.WORD)


def text(expression: str) -> Column:
    return Column(expression, ColumnType.TEXT)


class DatabaseConnection(Protocol):
    """A session with a database. Every method raises the StoreErrors that fit. Any other
    exception is a bug in a statement."""

    name: str
    """What logs call the store: its path or its address, without a password."""

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
        """Ends the transaction; nothing of it is stored. It is no mistake if there is none."""
        ...

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT, as the driver reads them."""
        ...

    def select(self, *selects: Select) -> list[list[Row]]:
        """The rows of each of these SELECTs, which are carried out one after the other, in one
        round trip where the database can. Values have the types of the columns. For statements
        with many rows or on the hot path; `query` does for the rest."""
        ...

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        """A statement without rows. What it raises may be raised by a later call, the commit at
        the latest, so that it can be sent along with that; what comes after it is then not carried
        out. Raises Stale if it makes a column NULL that may not be."""
        ...

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        """An INSERT of at least one row, as text up to its VALUES. A column has values of one type.
        What it raises may come later, as with `execute`."""
        ...

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """An INSERT of one row; the number the database gave it."""
        ...

    def schema_lock(self) -> AbstractContextManager[None]:
        """Keeps other nodes from changing the schema for as long as it is entered."""
        ...

    def define(self, statement: str) -> None:
        """A statement of a migration, in this database's dialect. It is no mistake if the table,
        column or index that it adds is there."""
        ...

    def config_warnings(self) -> list[str]:
        """Settings of the database that break a promise of the contract, one sentence each with
        its remedy."""
        ...

    def close(self) -> None:
        """Ends the session; what was not committed is gone. Never raises."""
        ...


def in_transaction(connection: DatabaseConnection, work: Callable[[], T], *, write: bool) -> T:
    """Runs `work` as one transaction and gives its result once the commit has returned.

    Whatever `work` raises is raised after a rollback. A commit of which it is not known whether it
    was carried out raises LostConnection with `maybe_committed`.
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
