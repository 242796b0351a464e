"""The stores that the contract is tested on, and short words for what users do.

A database joins with one line in STORES: how to open an empty store of its kind.
"""

from collections.abc import Callable, Iterator

import pytest

from chat.core.ports.operations import (
    AddFriend,
    Append,
    Appended,
    CreateGroup,
    CreateUser,
    FriendshipChanged,
    GroupChanged,
    JoinGroup,
    LogEntry,
    LogRead,
    ReadLog,
    ReadRoster,
    Refused,
    RosterRead,
    UserCreated,
)
from chat.core.ports.rosters import Roster
from chat.protocol.errors import ErrorCode
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import DriverName, MySqlAddress
from chat.storage.backends.sqlite import IN_MEMORY, open_sqlite
from chat.storage.dispatch import execute
from chat.storage.schema import migrate

STORES: dict[str, Callable[[pytest.FixtureRequest], DatabaseConnection]] = {
    "sqlite-memory": lambda request: open_sqlite(IN_MEMORY),
    "sqlite-file": lambda request: open_sqlite(request.getfixturevalue("tmp_path") / "chat.db"),
    "mariadb": lambda request: open_mysql(MySqlAddress.parse(request.getfixturevalue("database"))),
    "mariadb-mysqlclient": lambda request: open_mysql(mysqlclient_address(request)),
}
NOW_MS = 1_767_225_600_000
FREE = 100_000
"""A limit that no test reaches."""


def need_mysqlclient() -> None:
    """Skips the test where that driver, which is optional, is not installed."""
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")


def mysqlclient_address(request: pytest.FixtureRequest) -> MySqlAddress:
    need_mysqlclient()
    address = MySqlAddress.parse(request.getfixturevalue("database"))
    return address._replace(driver=DriverName.MYSQLCLIENT)


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.servers] if name.startswith("mariadb") else [])
        for name in STORES
    ],
    name="store",
)
def fixture_store(request: pytest.FixtureRequest) -> Iterator[DatabaseConnection]:
    """An empty store with the newest schema."""
    connection = STORES[request.param](request)
    migrate(connection)
    yield connection
    connection.close()


def memory_store() -> DatabaseConnection:
    connection = open_sqlite(IN_MEMORY)
    migrate(connection)
    return connection


def register(store: DatabaseConnection, name: str) -> int:
    outcome = execute(store, CreateUser(name, f"hash of {name}", NOW_MS))
    assert isinstance(outcome, UserCreated)
    return outcome.user.id


def register_users(store: DatabaseConnection, count: int) -> list[int]:
    return [register(store, name) for name in ("Ann", "bob", "cyd", "dan", "eve")[:count]]


def befriend(store: DatabaseConnection, one: int, other: int) -> int:
    """Both ask; the number of their conversation."""
    execute(store, AddFriend(one, other, NOW_MS))
    outcome = execute(store, AddFriend(other, one, NOW_MS))
    assert isinstance(outcome, FriendshipChanged)
    (row,) = [change.friend for change in outcome.changes if change.user == other]
    assert row is not None
    return row.conversation


def make_group(store: DatabaseConnection, owner: int, *members: int, name: str = "gophers") -> int:
    outcome = execute(store, CreateGroup(owner, name, "all about burrows", NOW_MS, FREE, FREE))
    assert isinstance(outcome, GroupChanged)
    for member in members:
        joined = execute(store, JoinGroup(member, outcome.group, NOW_MS, FREE))
        assert isinstance(joined, GroupChanged)
    return outcome.group


def say(
    sender: int, to: int | str, text: str = "hello", key: str = "k1", at_ms: int = NOW_MS
) -> Append:
    return Append(sender, to, None, text, key, at_ms)


def say_group(
    sender: int, group: int, text: str = "hello", key: str = "k1", at_ms: int = NOW_MS
) -> Append:
    return Append(sender, None, group, text, key, at_ms)


def sent(store: DatabaseConnection, append: Append) -> Appended:
    outcome = execute(store, append)
    assert isinstance(outcome, Appended), outcome
    return outcome


def roster(store: DatabaseConnection, user: int) -> Roster:
    outcome = execute(store, ReadRoster(user))
    assert isinstance(outcome, RosterRead)
    return outcome.roster


def read_all(store: DatabaseConnection, conversation: int) -> tuple[LogEntry, ...]:
    """The whole log; its entries are 1..head, whatever happened."""
    outcome = execute(store, ReadLog(conversation, 0, 1_000_000))
    assert isinstance(outcome, LogRead)
    assert [entry.seq for entry in outcome.entries] == list(range(1, outcome.head + 1))
    return outcome.entries


def refused(code: str) -> Refused:
    return Refused(ErrorCode(code))
