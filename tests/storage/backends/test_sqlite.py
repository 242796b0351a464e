"""The SQLite connection: how it opens, what keeps it from opening, what its errors become."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from chat.storage.backends.connection import in_transaction
from chat.storage.backends.sqlite import IN_MEMORY, SqliteConnection, open_sqlite
from chat.storage.errors import (
    DuplicateKey,
    LockTimeout,
    LostConnection,
    StoreCannotOpen,
    StoreUnavailable,
)
from chat.storage.schema import migrate
from tests.storage.stores import befriend, register, register_users, say, sent

USER = (
    "INSERT INTO users (name, name_key, password_hash, registered_ms, roster_version)"
    " VALUES (?, ?, '', 0, 1)"
)


def pragma(connection: SqliteConnection, name: str) -> object:
    return connection.query(f"PRAGMA {name}")[0][0]


def test_a_file_is_opened_so_that_commits_last(tmp_path: Path) -> None:
    connection = open_sqlite(tmp_path / "new" / "folder" / "chat.db")
    assert pragma(connection, "journal_mode") == "wal"
    assert pragma(connection, "synchronous") == 2
    assert pragma(connection, "foreign_keys") == 1
    connection.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "chat.db"
    connection = open_sqlite(path)
    migrate(connection)
    for made in (path, path.with_name("chat.db-wal"), path.with_name("chat.db.lock")):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    connection.close()


def test_what_was_stored_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    for count in range(1, 4):
        connection = open_sqlite(path)
        migrate(connection)
        if count == 1:
            ann, bob = register_users(connection, 2)
            befriend(connection, ann, bob)
        assert sent(connection, say(ann, bob, key=str(count))).seq == count
        connection.close()


def test_a_store_in_memory_is_its_own() -> None:
    one, other = open_sqlite(IN_MEMORY), open_sqlite(IN_MEMORY)
    for connection in (one, other):
        migrate(connection)
        register(connection, "ann")


def cannot_open(path: Path) -> str:
    with pytest.raises(StoreCannotOpen) as caught:
        open_sqlite(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database, and long enough to look at: " * 100)
    before = text.read_bytes()
    assert "is not a database" in cannot_open(text)
    assert text.read_bytes() == before
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    assert "another program" in cannot_open(other)
    assert "cannot be written" in cannot_open(text / "chat.db")
    assert "cannot be written" in cannot_open(tmp_path)


NOBODY = 65534


def test_a_folder_without_the_right_to_write() -> None:
    """Root may write everywhere, so root becomes the user `nobody` for this."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o555)
        os.seteuid(NOBODY if user == 0 else user)
        try:
            assert "cannot be written" in cannot_open(folder / "chat.db")
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


def test_a_store_that_another_program_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.backends.sqlite._BUSY_TIMEOUT_MS", 10)
    path = tmp_path / "chat.db"
    open_sqlite(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    assert "is locked by another program" in cannot_open(path)
    other.close()
    open_sqlite(path).close()


ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.errors import StoreCannotOpen
try:
    open_sqlite(sys.argv[1])
except StoreCannotOpen as error:
    print(error, flush=True)
else:
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_cannot_have_one_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    command = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert "in use by another node" in cannot_open(path)
    finally:
        holder.kill()
        holder.communicate()
    one = open_sqlite(path)
    two = open_sqlite(path)
    one.close()
    assert "in use by another node" in ended(command)
    two.close()
    assert ended(command) == "open\n"


def ended(command: list[str]) -> str:
    """What it printed, with nothing to read."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout


def test_errors_become_the_stores_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.storage.backends.sqlite._BUSY_TIMEOUT_MS", 10)
    one, two = open_sqlite(tmp_path / "chat.db"), open_sqlite(tmp_path / "chat.db")
    migrate(one)
    one.insert(USER, ("ann", "ann"))
    with pytest.raises(DuplicateKey):
        one.insert(USER, ("Ann", "ann"))
    one.begin(write=True)
    with pytest.raises(LockTimeout):
        two.begin(write=True)
    two.begin(write=False)
    two.rollback()
    one.rollback()
    one.rollback()
    with pytest.raises(sqlite3.OperationalError):
        one.query("SELECT nonsense FROM nothing")
    one.query("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        one.execute("DELETE FROM users")
    one.close()
    two.close()


def test_a_commit_that_fails_may_be_committed() -> None:
    connection = open_sqlite(IN_MEMORY)
    migrate(connection)
    connection.query("PRAGMA defer_foreign_keys = ON")

    def break_a_reference() -> None:
        connection.query("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO blocks (user_id, blocked_id) VALUES (1, 2)")

    with pytest.raises(LostConnection) as caught:
        in_transaction(connection, break_a_reference, write=True)
    assert caught.value.maybe_committed


def test_an_interrupted_transaction_leaves_no_trace() -> None:
    connection = open_sqlite(IN_MEMORY)
    migrate(connection)

    def stop() -> None:
        connection.insert(USER, ("ann", "ann"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_transaction(connection, stop, write=True)
    assert connection.query("SELECT * FROM users") == []
    register(connection, "ann")
