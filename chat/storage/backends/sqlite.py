"""SQLite: the store of a single node, and of the simulator.

The file is in WAL mode, so that readers and the one writer do not wait for each other, and with
synchronous=FULL, so that a commit is on the disk when it returns. A write transaction begins
IMMEDIATE: it locks the whole store, which makes row locks needless.

SQLite itself would let two nodes share a file. They would learn of each other's entries only by
comparing heads, so that is treated as a mistake: a lock on a file beside the store, held for as
long as this process has a connection, keeps other processes out. The kernel releases it with the
process, however that ends.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Final

from chat.storage.backends.connection import Row, Select, Value
from chat.storage.backends.sql import value_rows
from chat.storage.errors import (
    DuplicateKey,
    LockTimeout,
    LostConnection,
    Stale,
    StoreCannotOpen,
    StoreUnavailable,
)

IN_MEMORY: Final = ":memory:"
_BUSY_TIMEOUT_MS: Final = 2_000
_CACHE_KIB: Final = 65_536
_THERE: Final = "duplicate column", "already exists"
"""What SQLite says of a column or an index that is to be added and is there."""
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DUPLICATE: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
)
_OUT_OF_ORDER: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class SqliteConnection:
    """A `DatabaseConnection`; see there. Opened by `open_sqlite`."""

    for_update = ""

    def __init__(self, db: sqlite3.Connection, name: str, lock: "_FileLock | None") -> None:
        self.name = name
        self._db = db
        self._lock = lock

    def begin(self, *, write: bool) -> None:
        self.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if _primary_code(error) in _BUSY:
                raise LockTimeout(str(error)) from error
            # The log may have been written in full and not have reached the disk.
            raise LostConnection(str(error), maybe_committed=True) from error

    def rollback(self) -> None:
        if self._db.in_transaction:
            self.execute("ROLLBACK")

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error

    def select(self, *selects: Select) -> list[list[Row]]:
        return [
            self.query(f"SELECT {columns.sql} {source}", parameters)
            for columns, source, parameters in selects
        ]

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        try:
            self._db.execute(sql, parameters)
        except sqlite3.Error as error:
            raise _translated(error) from error

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        marked = f"{sql} VALUES {value_rows(len(rows), len(rows[0]))}"
        self.execute(marked, [value for row in rows for value in row])

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        try:
            number = self._db.execute(sql, parameters).lastrowid
        except sqlite3.Error as error:
            raise _translated(error) from error
        assert number is not None
        return number

    def schema_lock(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def define(self, statement: str) -> None:
        # Rows that are found by a key of more than a number lie in the order of that key.
        if "PRIMARY KEY (" in statement:
            statement += " WITHOUT ROWID"
        try:
            self.execute(statement)
        except sqlite3.OperationalError as error:
            if not any(words in str(error) for words in _THERE):
                raise

    def config_warnings(self) -> list[str]:
        return []

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def open_sqlite(path: str | os.PathLike[str]) -> SqliteConnection:
    """A connection to the store in that file, which is made if it is not there, or to a new one
    in memory for IN_MEMORY. The schema is not looked at: see `migrate`.

    A process may open a file several times, and use each connection in one thread at a time.
    Raises StoreCannotOpen, whose text is for the operator.
    """
    if os.fspath(path) == IN_MEMORY:
        return SqliteConnection(_connect(IN_MEMORY), "the store in memory", None)
    file = Path(path).absolute()
    lock = _prepare(file)
    try:
        return SqliteConnection(_open_file(file), str(file), lock)
    except BaseException:
        lock.release()
        raise


def _connect(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        name,
        timeout=_BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _open_file(file: Path) -> sqlite3.Connection:
    db: sqlite3.Connection | None = None
    try:
        db = _connect(str(file))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # The undo log of a statement of many rows stays in memory with this.
        db.execute("PRAGMA temp_store = MEMORY")
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if tables and "schema_version" not in tables:
            raise StoreCannotOpen(
                f"{file} is the database of another program; choose another file."
            )
        return db
    except (sqlite3.Error, StoreCannotOpen) as error:
        if db is not None:
            db.close()
        if isinstance(error, StoreCannotOpen):
            raise
        raise StoreCannotOpen(_reason(file, error)) from error


def _prepare(file: Path) -> "_FileLock":
    """Makes the folder and the file, readable by the owner only, and takes the lock."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _FileLock.take(file)
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except BaseException:
            lock.release()
            raise
        return lock
    except BlockingIOError as error:
        raise StoreCannotOpen(
            f"{file} is in use by another node; stop that one, or give this one a file of its own."
        ) from error
    except OSError as error:
        raise StoreCannotOpen(
            f"{file} cannot be written ({error.strerror}); give the node's user the right to, or"
            " choose another folder."
        ) from error


def _reason(file: Path, error: sqlite3.Error) -> str:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return f"{file} is not a database; move it away, or choose another file."
    if code in _BUSY:
        return f"{file} is locked by another program; end that program and start again."
    return f"{file} cannot be opened ({error}); check the disk and the rights to the file."


def _primary_code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _translated(error: sqlite3.Error) -> Exception:
    """The StoreError for an exception of the driver, or the same exception if it tells of a bug in
    the statement."""
    code = _primary_code(error)
    if code in _BUSY:
        return LockTimeout(str(error))
    if code in _OUT_OF_ORDER:
        return StoreUnavailable(str(error))
    if getattr(error, "sqlite_errorcode", None) in _DUPLICATE:
        return DuplicateKey(str(error))
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_NOTNULL:
        return Stale(str(error))
    return error


class _FileLock:
    """The lock beside a store's file. It belongs to the process: all connections to a file
    share one, and the last to close releases it."""

    _guard: ClassVar[threading.Lock] = threading.Lock()
    _held: ClassVar[dict[Path, "_FileLock"]] = {}

    def __init__(self, file: Path, descriptor: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._users = 0

    @classmethod
    def take(cls, file: Path) -> "_FileLock":
        """Raises BlockingIOError if another process has it, OSError if it cannot be made."""
        file = file.resolve()
        with cls._guard:
            lock = cls._held.get(file)
            if lock is None:
                path = file.with_name(f"{file.name}.lock")
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BaseException:
                    os.close(descriptor)
                    raise
                lock = cls._held[file] = cls(file, descriptor)
            lock._users += 1
            return lock

    def release(self) -> None:
        with self._guard:
            self._users -= 1
            if self._users == 0:
                del self._held[self._file]
                os.close(self._descriptor)
