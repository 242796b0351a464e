"""MySQL and the network to it: no failure of either doubles or loses an entry."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.core.ports.operations import (
    Append,
    Appended,
    CommitUnknown,
    CreateGroup,
    GroupChanged,
    Refused,
)
from chat.protocol.errors import ErrorCode
from chat.storage.append.speculation import Speculation, verify_and_append
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import DriverName, MySqlAddress
from chat.storage.errors import StoreCannotOpen, StoreNotThere
from chat.storage.schema import load_migrations, migrate
from chat.storage.service import StoreService
from deploy.servers import MariaDb
from tests.conftest import need
from tests.proxy import Proxy
from tests.storage.faults import Answers
from tests.storage.stores import (
    NOW_MS,
    befriend,
    need_mysqlclient,
    read_all,
    register,
    register_users,
)

pytestmark = pytest.mark.servers
UNAVAILABLE = Refused(ErrorCode.UNAVAILABLE)
COMMIT_BYTES = 11
"""Of the packet that asks for a commit, and of the one that says that it was done."""


def address_of(url: str) -> MySqlAddress:
    return MySqlAddress.parse(url)


class Friends:
    """A database in which Ann and Bob are friends, and a service on it."""

    def __init__(self, address: MySqlAddress) -> None:
        self.address = address
        self.connection = open_mysql(address)
        migrate(self.connection)
        self.ann, self.bob = register_users(self.connection, 2)
        self.conversation = befriend(self.connection, self.ann, self.bob)
        self.answers = Answers()
        self.tickets = 0
        self.service: StoreService

    def serve(self, open_connection: Callable[[], DatabaseConnection] | None = None) -> None:
        self.service = StoreService(
            open_connection or (lambda: open_mysql(self.address)), self.answers
        )
        self.service.start()

    def submit(self, *keys: str) -> list[int]:
        tickets = []
        for key in keys:
            self.tickets += 1
            append = Append(self.ann, self.bob, None, f"text {key}", key, NOW_MS)
            self.service.submit(self.tickets, append)
            tickets.append(self.tickets)
        return tickets

    def submit_all(self, *keys: str) -> list[int]:
        """As one batch, if the writer has nothing to do."""
        tickets = range(self.tickets + 1, self.tickets + 1 + len(keys))
        self.tickets += len(keys)
        appends = [Append(self.ann, self.bob, None, f"text {key}", key, NOW_MS) for key in keys]
        self.service.submit_all(list(zip(tickets, appends, strict=True)))
        return list(tickets)

    def keys(self) -> list[str | None]:
        """Those of the log, in order."""
        return [entry.key for entry in read_all(self.connection, self.conversation)]

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.service.close()
        self.connection.close()


@pytest.fixture(name="friends", params=list(DriverName))
def fixture_friends(request: pytest.FixtureRequest, database: str) -> Iterator[Friends]:
    if request.param is DriverName.MYSQLCLIENT:
        need_mysqlclient()
    friends = Friends(address_of(database)._replace(driver=request.param))
    yield friends
    friends.close()


# ---------------------------------------------------------------------------- the network


class CutAtCommit:
    """A connection whose next commit is cut off by the proxy."""

    def __init__(self, inner: DatabaseConnection, proxy: Proxy) -> None:
        self._inner = inner
        self._proxy = proxy
        self.cut: dict[str, int] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def commit(self) -> None:
        cut, self.cut = self.cut, None
        if cut is not None:
            self._proxy.cut_after(**cut)
        self._inner.commit()


CUTS = [("up", k) for k in range(COMMIT_BYTES + 1)] + [("down", k) for k in range(COMMIT_BYTES)]


def test_a_commit_whose_exchange_is_cut_anywhere_is_neither_lost_nor_doubled(
    mariadb: MariaDb, friends: Friends
) -> None:
    proxy = Proxy(mariadb.port)
    opened: list[CutAtCommit] = []

    def open_cut() -> DatabaseConnection:
        opened.append(CutAtCommit(open_mysql(friends.address._replace(port=proxy.port)), proxy))
        return opened[-1]  # type: ignore[return-value]

    friends.serve(open_cut)
    said: list[str] = []
    for number, (way, k) in enumerate(CUTS):
        writer = opened[0] if number == 0 else opened[-1]
        writer.cut = {way: k}
        keys = [f"{way}{k}.{n}" for n in range(3)]
        outcomes = friends.answers.wait_for(*friends.submit(*keys))
        assert all(isinstance(outcome, Appended) for outcome in outcomes), (way, k, outcomes)
        said += keys
        assert friends.keys() == said, (way, k)
    assert len(opened) >= len(CUTS)
    proxy.close()


SPECULATION_CUTS = [("up", k) for k in range(0, 381, 38)] + [("down", k) for k in range(0, 113, 3)]
"""A batch of three that speculates is one packet up, of 391 bytes, and three down: raised,
inserted, committed, of 113 in all."""


def test_nor_is_a_batch_that_speculates(
    mariadb: MariaDb, friends: Friends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.append.cache.MAX_BACKOFF", 0)
    proxy = Proxy(mariadb.port)
    opened: list[CutAtCommit] = []
    cut_short: list[bool] = []

    def open_cut() -> DatabaseConnection:
        opened.append(CutAtCommit(open_mysql(friends.address._replace(port=proxy.port)), proxy))
        return opened[-1]  # type: ignore[return-value]

    def count(connection: DatabaseConnection, speculation: Speculation) -> None:
        cut_short.append(any(one.cut is not None for one in opened))
        verify_and_append(connection, speculation)

    monkeypatch.setattr("chat.storage.append.batch.verify_and_append", count)
    friends.serve(open_cut)
    said: list[str] = []
    for number, (way, k) in enumerate(SPECULATION_CUTS):
        writer = opened[0] if number == 0 else opened[-1]
        for n in range(3):
            # The reader's connection was opened second and is not cut.
            writer.cut = {way: k} if n == 2 else None
            keys = [f"{way}{k}.{n}.{text}" for text in range(3)]
            outcomes = friends.answers.wait_for(*friends.submit_all(*keys))
            assert all(isinstance(outcome, Appended) for outcome in outcomes), (way, k, outcomes)
            said += keys
            assert friends.keys() == said, (way, k)
    assert sum(cut_short) == len(SPECULATION_CUTS)
    proxy.close()


@pytest.mark.parametrize("way", ["up", "down"])
def test_another_write_whose_reply_is_cut_off_is_unknown(
    mariadb: MariaDb, friends: Friends, way: str
) -> None:
    proxy = Proxy(mariadb.port)
    opened: list[CutAtCommit] = []

    def open_cut() -> DatabaseConnection:
        opened.append(CutAtCommit(open_mysql(friends.address._replace(port=proxy.port)), proxy))
        return opened[-1]  # type: ignore[return-value]

    friends.serve(open_cut)
    opened[0].cut = {way: 3}
    friends.service.submit(1, CreateGroup(friends.ann, "once", "", NOW_MS))
    assert friends.answers.wait_for(1) == [CommitUnknown()]
    groups = friends.connection.query("SELECT name FROM conversations WHERE kind = 'group'")
    friends.connection.commit()
    assert groups == ([("once",)] if way == "down" else [])
    friends.service.submit(2, CreateGroup(friends.ann, "again", "", NOW_MS))
    (outcome,) = friends.answers.wait_for(2)
    assert isinstance(outcome, GroupChanged)
    proxy.close()


def test_after_a_cut_or_a_kill_another_connection_is_opened(
    mariadb: MariaDb, friends: Friends
) -> None:
    friends.serve()
    admin = mariadb.connect("admin")
    for number in range(3):
        (outcome,) = friends.answers.wait_for(*friends.submit(f"before-{number}"))
        assert isinstance(outcome, Appended)
        with admin.cursor() as cursor:
            # Connections of other tests may still be on their way out.
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = %s",
                (friends.address.database,),
            )
            for (id,) in cursor.fetchall():
                cursor.execute(f"KILL {id}")
        (outcome,) = friends.answers.wait_for(*friends.submit(f"after-{number}"))
        assert isinstance(outcome, Appended)
    admin.close()
    friends.connection = open_mysql(friends.address)
    assert friends.keys() == [f"{when}-{n}" for n in range(3) for when in ("before", "after")]


# ---------------------------------------------------------------------------- the server


def test_kill_9_of_the_database_in_a_stream_of_texts(tmp_path: Path) -> None:
    need("mariadbd")
    server = MariaDb(tmp_path / "maria")
    server.start()
    friends = Friends(address_of(server.url))
    friends.serve()
    acked: dict[str, Appended] = {}
    keys = [f"key{number}" for number in range(600)]
    for start in range(0, len(keys), 100):
        part = [key for key in keys[: start + 100] if key not in acked]
        tickets = friends.submit(*part)
        if start % 200 == 0:
            server.kill()
            server.start()
        for key, outcome in zip(part, friends.answers.wait_for(*tickets), strict=True):
            if isinstance(outcome, Appended):
                acked[key] = outcome
            else:
                assert outcome in (UNAVAILABLE, CommitUnknown())
    deadline = time.monotonic() + 20
    while len(acked) < len(keys) and time.monotonic() < deadline:
        part = [key for key in keys if key not in acked]
        for key, outcome in zip(
            part, friends.answers.wait_for(*friends.submit(*part)), strict=True
        ):
            if isinstance(outcome, Appended):
                acked[key] = outcome
    friends.connection = open_mysql(friends.address)
    log = friends.keys()
    assert sorted(map(str, log)) == sorted(keys)
    assert [log[outcome.seq - 1] for outcome in acked.values()] == list(acked)
    friends.close()
    server.stop()


def test_a_database_that_is_read_only_takes_nothing_and_later_everything(
    mariadb: MariaDb, friends: Friends
) -> None:
    friends.serve()
    admin = mariadb.connect("admin")
    cursor = admin.cursor()
    cursor.execute("SET GLOBAL read_only = 1")
    try:
        assert friends.answers.wait_for(*friends.submit("no")) == [UNAVAILABLE]
    finally:
        cursor.execute("SET GLOBAL read_only = 0")
    admin.close()
    (outcome,) = friends.answers.wait_for(*friends.submit("yes"))
    assert isinstance(outcome, Appended)
    assert friends.keys() == ["yes"]


def test_a_lock_that_is_not_to_be_had_is_waited_for_again(friends: Friends) -> None:
    def impatient() -> DatabaseConnection:
        connection = open_mysql(friends.address)
        connection.execute("SET SESSION innodb_lock_wait_timeout = 1")
        return connection

    friends.serve(impatient)
    holder = open_mysql(friends.address)
    holder.begin(write=True)
    holder.query("SELECT id FROM conversations WHERE id = ? FOR UPDATE", (friends.conversation,))
    release = threading.Timer(1.5, holder.rollback)
    release.start()
    (outcome,) = friends.answers.wait_for(*friends.submit("patience"))
    assert isinstance(outcome, Appended)
    release.join()
    holder.close()


def test_a_deadlock_is_run_again(friends: Friends) -> None:
    """An intruder locks two conversations in the wrong order; one of the transactions is ended."""
    cyd = register(friends.connection, "cyd")
    other = befriend(friends.connection, friends.ann, cyd)
    friends.serve()
    for attempt in range(5):
        intruder = open_mysql(friends.address)
        intruder.begin(write=True)
        lock = "SELECT id FROM conversations WHERE id = ? FOR UPDATE"
        intruder.query(lock, (other,))
        tickets = friends.submit(f"to bob {attempt}")
        friends.tickets += 1
        to_cyd = Append(friends.ann, cyd, None, "hello", f"to cyd {attempt}", NOW_MS)
        friends.service.submit(friends.tickets, to_cyd)
        with contextlib.suppress(Exception):
            intruder.query(lock, (friends.conversation,))
        with contextlib.suppress(Exception):
            intruder.rollback()
        intruder.close()
        outcomes = friends.answers.wait_for(*tickets, friends.tickets)
        assert all(isinstance(outcome, Appended) for outcome in outcomes)


def test_nodes_that_start_together_migrate_once(database: str) -> None:
    versions: list[int] = []

    def start() -> None:
        connection = open_mysql(address_of(database))
        versions.append(migrate(connection))
        connection.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [load_migrations()[-1].version] * 4


def test_settings_that_break_the_contract_are_told(
    mariadb: MariaDb, friends: Friends, caplog: pytest.LogCaptureFixture
) -> None:
    admin = mariadb.connect("admin")
    cursor = admin.cursor()
    cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        with caplog.at_level(logging.WARNING):
            friends.serve()
    finally:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    admin.close()
    assert "innodb_flush_log_at_trx_commit=2" in caplog.text
    assert "set it to 1" in caplog.text
    assert friends.connection.config_warnings() == []


# ---------------------------------------------------------------------------- addresses, texts


def test_what_cannot_be_opened_is_told_with_its_remedy(mariadb: MariaDb, database: str) -> None:
    address = address_of(database)
    with pytest.raises(StoreCannotOpen, match="refuses the user or the password"):
        open_mysql(address._replace(password="wrong"))
    with pytest.raises(StoreCannotOpen, match="CREATE DATABASE chat_none"):
        open_mysql(address._replace(database="chat_none"))
    with pytest.raises(StoreNotThere, match="start the database"):
        open_mysql(address._replace(port=1))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), st.integers(-(2**62), 2**62))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_what_goes_in_comes_out(friends: Friends, text: str, data: bytes, number: int) -> None:
    (row,) = friends.connection.query("SELECT ?, '%', ?, ?, ?", (text, data, number, None))
    assert row == (text, "%", data, number, None)
