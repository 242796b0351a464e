"""The drivers that carry statements to MySQL.

PyMySQL is the default and always installed. mysqlclient is an option: it is written in C and reads
rows in a third of the time, but has to be compiled against the client library of MySQL or MariaDB.

Both follow Python's database API (PEP 249), down to the numbers of errors. A `MySqlDriver` is what
differs between them.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import pymysql
from pymysql.constants import CLIENT

from chat.storage.backends.connection import Row
from chat.storage.backends.mysql_address import DriverName, MySqlAddress
from chat.storage.backends.mysql_statements import CHARSET
from chat.storage.errors import StoreCannotOpen


class DriverCursor(Protocol):
    """What is used of a cursor of PEP 249."""

    @property
    def lastrowid(self) -> int | None: ...

    def execute(self, query: Any, /) -> object: ...

    def nextset(self) -> object: ...

    def fetchall(self) -> tuple[Row, ...]: ...


class DriverConnection(Protocol):
    """What is used of a connection of PEP 249."""

    def cursor(self) -> Any: ...

    def close(self) -> None: ...


class MySqlDriver(NamedTuple):
    """`error` is the base of its exceptions. `encode` makes of a statement what its cursor takes.
    `packs_rows`: it reads rows faster if they are packed."""

    connect: Callable[..., DriverConnection]
    error: type[Exception]
    encode: Callable[[str], str | bytes]
    packs_rows: bool


def load_driver(name: DriverName) -> MySqlDriver:
    """Raises StoreCannotOpen if it is not installed."""
    if name is DriverName.PYMYSQL:
        return _PYMYSQL
    try:
        module = importlib.import_module("MySQLdb")
    except ImportError as error:
        raise StoreCannotOpen(
            f"{name} is not installed ({error}); install it: pip install {name}, or give the store"
            " as mysql://..., which needs it not."
        ) from error
    return MySqlDriver(module.connect, module.Error, _to_bytes, packs_rows=False)


def connect(
    driver: MySqlDriver, address: MySqlAddress, *, settings: str, connect_s: int, call_s: int
) -> DriverConnection:
    """A connection that takes several statements at a time, with autocommit off. `settings` is the
    first statement; `connect_s` and `call_s` are the longest waits. Raises `driver.error` or
    OSError."""
    return driver.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        database=address.database,
        charset=CHARSET,
        collation=f"{CHARSET}_bin",
        client_flag=CLIENT.MULTI_STATEMENTS,
        init_command=settings,
        autocommit=False,
        connect_timeout=connect_s,
        read_timeout=call_s,
        write_timeout=call_s,
    )


def _to_str(statement: str) -> str:
    return statement


def _to_bytes(statement: str) -> bytes:
    # Bytes of a binary value stand in the text as PyMySQL escapes them, one surrogate each.
    return statement.encode("utf-8", "surrogateescape")


_PYMYSQL: Final = MySqlDriver(pymysql.connect, pymysql.Error, _to_str, packs_rows=True)
