"""The failures of MySQL, MariaDB and the network to them, as the StoreErrors of this package.

Both drivers pass the server's error number on as the first argument of their exception.
"""

from typing import Final

from pymysql.constants import CR, ER

from chat.storage.backends.mysql_address import MySqlAddress
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
_STORE_ERRORS: Final[dict[int, type[StoreError]]] = {
    **dict.fromkeys(_LOST, LostConnection),
    **dict.fromkeys(_UNAVAILABLE, StoreUnavailable),
    ER.LOCK_DEADLOCK: Deadlock,
    ER.LOCK_WAIT_TIMEOUT: LockTimeout,
    ER.DUP_ENTRY: DuplicateKey,
    ER.BAD_NULL_ERROR: Stale,
}


def code_of(error: Exception) -> object:
    """The server's number of the error, or whatever else the driver gives first."""
    return error.args[0] if error.args else 0


def store_error(error: Exception) -> Exception:
    """The StoreError for a driver's exception at a statement, or the same exception if it tells of
    a bug in the statement."""
    code = code_of(error)
    if not isinstance(code, int):
        return LostConnection(str(error))
    known = _STORE_ERRORS.get(code)
    return error if known is None else known(str(error))


def cannot_open(address: MySqlAddress, error: Exception) -> StoreCannotOpen:
    """The StoreError for a driver's exception at connecting: cause and remedy in a sentence."""
    code = code_of(error)
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
    reason = str(error.args[-1] if error.args else error).rstrip(".")
    return StoreNotThere(
        f"{address} does not answer ({reason}); start the database, or give its address."
    )
