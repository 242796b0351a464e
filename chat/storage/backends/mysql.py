"""MySQL and MariaDB: the store that the nodes of a cluster share, through PyMySQL.

A connection is in a transaction from its first statement to the next COMMIT or ROLLBACK
(autocommit is off), which saves a BEGIN on the way. A statement without rows is not sent by itself
but along with the next that has some, or with the commit; so a batch of appends takes two round
trips, one that locks and asks, one that stores and commits.

Writing transactions read what was committed before each statement (READ COMMITTED) and lock the
rows that they decide by; reading ones see one moment (REPEATABLE READ). One connection does one or
the other nearly always, so the level is seldom switched.

The parameters are put into the text of a statement here, a whole batch in one go, which costs a
third of what the driver takes for it. That is safe as long as a backslash in a string means what
we take it to mean, so the SQL mode is set for each connection, whatever the server's is.

What the server or the way to it does wrong comes out as the StoreError that says whether anything
may have been stored. Every wait has an end: the socket's time limits are longer than the server's
for locks, and a connection that ran into one is of no more use.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.constants import CLIENT, CR, ER
from pymysql.cursors import Cursor

from chat.storage.backends.connection import Row, Value
from chat.storage.errors import (
    Deadlock,
    DuplicateKey,
    LockTimeout,
    LostConnection,
    Stale,
    StoreCannotOpen,
    StoreError,
    StoreNotThere,
    StoreUnavailable,
)

CONNECT_S: Final = 3.0
CALL_S: Final = 10.0
LOCK_WAIT_S: Final = 4
"""How long a row lock is waited for; less than CALL_S."""
SCHEMA_LOCK_S: Final = 60
DEFAULT_PORT: Final = 3306
MOST_UNSENT_CHARS: Final = 1_000_000
"""Well below what a server takes in one packet."""

_SETTINGS: Final = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT',"
    f" innodb_lock_wait_timeout = {LOCK_WAIT_S}, time_zone = '+00:00'"
)
_TABLE_OPTIONS: Final = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
_LOST: Final = frozenset(
    {
        0,  # the connection was closed on this side
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_SERVER_LOST_EXTENDED,
        ER.SERVER_SHUTDOWN,
        ER.QUERY_INTERRUPTED,
        ER.NET_READ_ERROR,
        ER.NET_READ_INTERRUPTED,
        ER.NET_ERROR_ON_WRITE,
        ER.NET_WRITE_INTERRUPTED,
        ER.NET_PACKETS_OUT_OF_ORDER,
        ER.FORCING_CLOSE,
        1927,  # the connection was killed (MariaDB)
    }
)
_UNAVAILABLE: Final = frozenset(
    {
        ER.OPTION_PREVENTS_STATEMENT,  # read-only, as after a failover
        1792,  # the transaction is read-only
        1836,  # read-only mode
        ER.DISK_FULL,
        ER.RECORD_FILE_FULL,
        ER.GET_ERRNO,
        ER.OUTOFMEMORY,
        ER.OUT_OF_SORTMEMORY,
        ER.OUT_OF_RESOURCES,
    }
)


class Address(NamedTuple):
    """Where a database is, and who asks."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Of mysql://user:password@host:port/database; what is special in a name or password is
        written %XX. Raises ValueError with what is wrong."""
        parts = urlsplit(url)
        database = unquote(parts.path.removeprefix("/"))
        if parts.scheme != "mysql" or not parts.hostname or not parts.username or not database:
            raise ValueError("it is mysql://user:password@host:port/database")
        if "/" in database or parts.query or parts.fragment:
            raise ValueError("nothing comes after the name of the database")
        password = unquote(parts.password or "")
        port = parts.port or DEFAULT_PORT
        return cls(parts.hostname, port, unquote(parts.username), password, database)

    def __str__(self) -> str:
        """Without the password."""
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"


class MySqlConnection:
    """A `DatabaseConnection`; see there. Opened by `open_mysql`."""

    for_update = " FOR UPDATE"

    def __init__(self, db: "pymysql.Connection[Cursor]", address: Address) -> None:
        self.name = str(address)
        self._db = db
        self._cursor = db.cursor()
        self._address = address
        self._writes: bool | None = None
        self._unsent: list[str] = []
        self._unsent_chars = 0

    def begin(self, *, write: bool) -> None:
        if write is not self._writes:
            level = "READ COMMITTED" if write else "REPEATABLE READ"
            self._unsent.append(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
            self._writes = write

    def commit(self) -> None:
        try:
            self._run("COMMIT")
        except LostConnection as error:
            raise LostConnection(str(error), maybe_committed=True) from error

    def rollback(self) -> None:
        if self._unsent:
            self._unsent.clear()
            self._writes = None
        self._run("ROLLBACK")

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._run(render(sql, parameters))[0]

    def query_all(self, *statements: tuple[str, Sequence[Value]]) -> list[list[Row]]:
        return self._run(*[render(sql, parameters) for sql, parameters in statements])

    def pack(self, *columns: str) -> str:
        return " || ' ' || ".join(columns)

    def unpack(self, rows: list[Row], width: int) -> Iterable[Sequence[Any]]:
        return [row.split(" ", width - 1) for (row,) in rows]

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        text = render(sql, parameters)
        self._unsent.append(text)
        self._unsent_chars += len(text)
        if self._unsent_chars > MOST_UNSENT_CHARS:
            self._run()

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        self.execute(f"{sql} VALUES {render_rows(rows)}")

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        self._run(render(sql, parameters))
        return int(self._cursor.lastrowid)

    def schema_lock(self) -> contextlib.AbstractContextManager[None]:
        return self._schema_lock()

    @contextlib.contextmanager
    def _schema_lock(self) -> Iterator[None]:
        name = f"chat schema of {self._address.database}"[:64]
        # In short waits, as no call may take longer than CALL_S.
        for _ in range(SCHEMA_LOCK_S // LOCK_WAIT_S):
            if self.query("SELECT GET_LOCK(?, ?)", (name, LOCK_WAIT_S)) == [(1,)]:
                break
        else:
            raise StoreCannotOpen(
                f"another node has been changing the schema of {self.name} for {SCHEMA_LOCK_S} s;"
                " see what it waits for, and start again."
            )
        try:
            yield
        finally:
            self.query("SELECT RELEASE_LOCK(?)", (name,))

    def define(self, statement: str) -> None:
        statement = statement.replace(
            "INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"
        )
        if statement.startswith("CREATE TABLE"):
            statement += _TABLE_OPTIONS
        try:
            self._run(statement)
        except pymysql.Error as error:
            if error.args[0] != ER.DUP_FIELDNAME:
                raise

    def config_warnings(self) -> list[str]:
        ((flush, has_binlog),) = self.query(
            "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin"
        )
        config_warnings = []
        if flush != 1:
            config_warnings.append(
                f"{self.name} does not write each commit to the disk"
                f" (innodb_flush_log_at_trx_commit={flush}): texts that were acknowledged are lost"
                " when the machine fails; set it to 1"
            )
        if has_binlog and self.query("SELECT @@GLOBAL.sync_binlog") != [(1,)]:
            config_warnings.append(
                f"{self.name} does not write its binary log to the disk at each commit"
                " (sync_binlog): a replica may miss texts that were acknowledged; set it to 1"
            )
        return config_warnings

    def close(self) -> None:
        # What is broken cannot say goodbye; the server rolls back either way.
        with contextlib.suppress(Exception):
            self._db.close()

    def _run(self, *texts: str) -> list[list[Row]]:
        """Sends what is unsent and these; the rows of each of these."""
        first = len(self._unsent)
        statements = [*self._unsent, *texts]
        self._unsent.clear()
        self._unsent_chars = 0
        rows: list[list[Row]] = []
        try:
            for place in range(len(statements)):
                if place == 0:
                    self._cursor.execute(";".join(statements))
                else:
                    self._cursor.nextset()
                if place >= first:
                    rows.append(list(self._cursor.fetchall()))
            return rows
        except pymysql.Error as error:
            raise _translated(error) from error
        except OSError as error:
            raise LostConnection(str(error)) from error


def open_mysql(address: Address) -> MySqlConnection:
    """A connection to the database, which must be there; its tables need not be: see `migrate`.

    Raises StoreNotThere if it may be there later, StoreCannotOpen if a person has to do something
    first; either has a sentence for them.
    """
    try:
        db: pymysql.Connection[Cursor] = pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            charset="utf8mb4",
            collation="utf8mb4_bin",
            client_flag=CLIENT.MULTI_STATEMENTS,
            init_command=_SETTINGS,
            autocommit=False,
            connect_timeout=CONNECT_S,
            read_timeout=CALL_S,
            write_timeout=CALL_S,
        )
    except (pymysql.Error, OSError) as error:
        raise _cannot_open(address, error) from error
    return MySqlConnection(db, address)


def _cannot_open(address: Address, error: Exception) -> StoreCannotOpen:
    code = error.args[0] if error.args else None
    if code == ER.ACCESS_DENIED_ERROR:
        return StoreCannotOpen(
            f"{address} refuses the user or the password; give those that the database knows."
        )
    if code in (ER.BAD_DB_ERROR, ER.DBACCESS_DENIED_ERROR):
        return StoreCannotOpen(
            f"{address} is not there, or not for this user; make it and give the user the right to"
            f" it: CREATE DATABASE {address.database}; GRANT ALL ON {address.database}.* TO"
            f" {address.user}."
        )
    if code == ER.CON_COUNT_ERROR:
        return StoreNotThere(
            f"{address} has no connection left for this node; raise its max_connections."
        )
    return StoreNotThere(
        f"{address} does not answer ({_reason(error)}); start the database, or give its address."
    )


def _reason(error: Exception) -> str:
    return str(error.args[-1] if error.args else error).rstrip(".")


def _translated(error: pymysql.Error) -> Exception:
    """The StoreError that fits, or the same error if it speaks of a bug in a statement."""
    code = error.args[0] if error.args else 0
    text = str(error)
    known: StoreError | None = None
    if code == ER.LOCK_DEADLOCK:
        known = Deadlock(text)
    elif code == ER.LOCK_WAIT_TIMEOUT:
        known = LockTimeout(text)
    elif code == ER.DUP_ENTRY:
        known = DuplicateKey(text)
    elif code == ER.BAD_NULL_ERROR:
        known = Stale(text)
    elif code in _LOST or not isinstance(code, int):
        known = LostConnection(text)
    elif code in _UNAVAILABLE:
        known = StoreUnavailable(text)
    return known or error


# ---------------------------------------------------------------------------- statements


def render(sql: str, parameters: Sequence[Value]) -> str:
    """The statement with its parameters in the places of the `?`, as the server reads it."""
    if not parameters:
        return sql
    return _template(sql) % tuple(
        [value if type(value) is int else _LITERALS[type(value)](value) for value in parameters]
    )


def render_rows(rows: Sequence[Row]) -> str:
    """Many rows, as an INSERT has them after VALUES. Column by column, since a column of numbers
    or of plain texts needs no look at each of them."""
    marks: list[str] = []
    columns: list[Sequence[object]] = []
    for column in zip(*rows, strict=True):
        if type(column[0]) is int:
            marks.append("%d")
            columns.append(column)
        elif type(column[0]) is str and _is_plain("".join(column)):
            marks.append("'%s'")
            columns.append(column)
        else:
            marks.append("%s")
            columns.append([_LITERALS[type(value)](value) for value in column])
    row = f"({','.join(marks)})"
    values = tuple([value for values in zip(*columns, strict=True) for value in values])
    return ",".join([row] * len(rows)) % values


@lru_cache(maxsize=1024)
def _template(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _is_plain(text: str) -> bool:
    # Between single quotes the server gives a meaning to these alone.
    return "'" not in text and "\\" not in text and "\0" not in text


def _string(value: str) -> str:
    if _is_plain(value):
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


_LITERALS: Final[dict[type, Callable[..., str]]] = {
    str: _string,
    bytes: lambda value: f"x'{value.hex()}'",
    type(None): lambda value: "NULL",
}
