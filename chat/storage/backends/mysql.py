"""MySQL and MariaDB: the store that the nodes of a cluster share.

A connection is in a transaction from its first statement to the next COMMIT or ROLLBACK
(autocommit is off), which saves sending a BEGIN. A statement without rows is not sent by itself but
along with the next that has some, or with the commit. So a batch of appends takes two round trips,
one that locks and asks, one that stores and commits; and a batch that speculates takes one.

Writing transactions read what was committed before each statement (READ COMMITTED) and lock the
rows that they decide by; reading ones see one moment (REPEATABLE READ). A connection nearly always
does one or the other, so the level is seldom switched.

The parameters are put into the text of a statement (see mysql_statements.py). That is safe as long
as a backslash in a string means what the driver takes it to mean, so the SQL mode is set for each
connection, whatever the server's is.

A failure of the server or of the network to it is raised as the StoreError that says whether
anything may have been stored. Every wait has an end: the socket's time limits are longer than the
server's for locks, and a connection that ran into one is not used again.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from pymysql.constants import ER

from chat.storage.backends.connection import Row, Select, Value
from chat.storage.backends.mysql_address import MySqlAddress
from chat.storage.backends.mysql_drivers import (
    DriverConnection,
    DriverCursor,
    MySqlDriver,
    connect,
    load_driver,
)
from chat.storage.backends.mysql_errors import cannot_open, code_of, store_error
from chat.storage.backends.mysql_packing import packing_of
from chat.storage.backends.mysql_statements import CHARSET, render, render_rows
from chat.storage.errors import LostConnection, StoreCannotOpen

CONNECT_S: Final = 3
CALL_S: Final = 10
"""The longest wait for a connection, and for the answer to one statement."""
LOCK_WAIT_S: Final = 4
"""How long a row lock is waited for; less than CALL_S."""
SCHEMA_LOCK_S: Final = 60
MAX_UNSENT_CHARS: Final = 1_000_000
"""Well below what a server takes in one packet."""

_SETTINGS: Final = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT',"
    f" innodb_lock_wait_timeout = {LOCK_WAIT_S}, time_zone = '+00:00'"
)
_TABLE_OPTIONS: Final = f" ENGINE=InnoDB DEFAULT CHARSET={CHARSET} COLLATE={CHARSET}_bin"


class MySqlConnection:
    """A `DatabaseConnection`; see there. Opened by `open_mysql`."""

    for_update = " FOR UPDATE"

    def __init__(self, db: DriverConnection, driver: MySqlDriver, address: MySqlAddress) -> None:
        self.name = str(address)
        self._db = db
        self._driver = driver
        self._cursor: DriverCursor = db.cursor()
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

    def select(self, *selects: Select) -> list[list[Row]]:
        packings = [packing_of(one.columns) if self._driver.packs_rows else None for one in selects]
        texts = [
            render(f"SELECT {packing.sql if packing else columns.sql} {source}", parameters)
            for packing, (columns, source, parameters) in zip(packings, selects, strict=True)
        ]
        return [
            packing.unpack(rows) if packing else rows
            for packing, rows in zip(packings, self._run(*texts), strict=True)
        ]

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        text = render(sql, parameters)
        self._unsent.append(text)
        self._unsent_chars += len(text)
        if self._unsent_chars > MAX_UNSENT_CHARS:
            self._run()

    def insert_rows(self, sql: str, rows: Sequence[Row]) -> None:
        self.execute(f"{sql} VALUES {render_rows(rows)}")

    def insert(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        self._run(render(sql, parameters))
        number = self._cursor.lastrowid
        assert number is not None
        return number

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
        except self._driver.error as error:
            if code_of(error) not in (ER.DUP_FIELDNAME, ER.DUP_KEYNAME):
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
        # A broken connection cannot be closed in order; the server rolls back either way.
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
            for index in range(len(statements)):
                if index == 0:
                    self._cursor.execute(self._driver.encode(";".join(statements)))
                else:
                    self._cursor.nextset()
                if index >= first:
                    rows.append(list(self._cursor.fetchall()))
            return rows
        except self._driver.error as error:
            raise store_error(error) from error
        except OSError as error:
            raise LostConnection(str(error)) from error


def open_mysql(address: MySqlAddress) -> MySqlConnection:
    """A connection to the database, which must be there; its tables need not be: see `migrate`.

    Raises StoreNotThere if it may be there later, StoreCannotOpen if an operator has to do
    something first; the text of either says what.
    """
    driver = load_driver(address.driver)
    try:
        db = connect(driver, address, settings=_SETTINGS, connect_s=CONNECT_S, call_s=CALL_S)
    except (driver.error, OSError) as error:
        raise cannot_open(address, error) from error
    return MySqlConnection(db, driver, address)
