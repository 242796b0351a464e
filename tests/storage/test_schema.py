"""Migrations: in order, once, and never on a store that is newer than the program."""

from functools import partial

import pytest

from chat.core.ports.operations import CreateGroup, GroupChanged, Refused
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.backends.sqlite import IN_MEMORY, open_sqlite
from chat.storage.dispatch import execute
from chat.storage.errors import SchemaTooNew
from chat.storage.schema import Migration, cluster_name, load_migrations, migrate
from tests.storage.stores import NOW_MS, register_users, roster, say


def shape(store: DatabaseConnection) -> list[tuple[str, ...]]:
    return store.query("SELECT type, name, sql FROM sqlite_master ORDER BY name")


def test_the_files_are_numbered_from_one() -> None:
    migrations = load_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.statements for migration in migrations)


def test_migrating_twice_changes_nothing(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    before = roster(store, ann)
    newest = load_migrations()[-1].version
    assert migrate(store) == newest
    assert migrate(store) == newest
    assert roster(store, ann) == before
    assert execute(store, say(ann, bob)) is not None


def test_a_store_is_named_once(store: DatabaseConnection) -> None:
    assert cluster_name(store, "first") == "first"
    assert cluster_name(store, "second") == "first"
    assert migrate(store) == load_migrations()[-1].version
    assert cluster_name(store, "third") == "first"


def test_a_migration_that_failed_half_way_can_be_run_again() -> None:
    whole, half = open_sqlite(IN_MEMORY), open_sqlite(IN_MEMORY)
    migrate(whole)
    for statement in load_migrations()[0].statements[:4]:
        half.define(statement)
    migrate(half)
    assert shape(half) == shape(whole)


def test_each_statement_can_be_carried_out_twice(store: DatabaseConnection) -> None:
    """Not every database can take back half a migration."""
    (ann,) = register_users(store, 1)
    for migration in load_migrations():
        for statement in migration.statements:
            in_transaction(store, partial(store.define, statement), write=True)
    assert roster(store, ann).user.id == ann


def test_each_migration_is_carried_out_once_and_in_order() -> None:
    store = open_sqlite(IN_MEMORY)
    steps = [
        Migration(1, ("CREATE TABLE t (n BIGINT)",)),
        Migration(2, ("INSERT INTO t (n) VALUES (2)",)),
        Migration(3, ("INSERT INTO t (n) SELECT n + 1 FROM t",)),
    ]
    assert migrate(store, steps[:2]) == 2
    assert migrate(store, steps) == 3
    assert migrate(store, steps) == 3
    assert store.query("SELECT n FROM t ORDER BY n") == [(2,), (3,)]


def test_a_migration_that_fails_leaves_the_schema_before_it() -> None:
    store = open_sqlite(IN_MEMORY)
    good = Migration(1, ("CREATE TABLE t (n BIGINT)",))
    bad = Migration(2, ("INSERT INTO t (n) VALUES (2)", "NONSENSE"))
    with pytest.raises(Exception, match="NONSENSE"):
        migrate(store, [good, bad])
    assert store.query("SELECT n FROM t") == []
    assert store.query("SELECT version FROM schema_version") == [(1,)]


def test_a_store_from_before_the_limits_counts_groups_and_nothing_else() -> None:
    store = open_sqlite(IN_MEMORY)
    migrate(store, load_migrations()[:3])
    ann, bob = register_users(store, 2)
    for id, kind in ((1, "group"), (2, "direct")):
        store.execute(
            "INSERT INTO conversations (id, kind, head, name, description, closed)"
            " VALUES (?, ?, 0, '', '', 0)",
            (id, kind),
        )
        for user, role in ((ann, "owner" if kind == "group" else "member"), (bob, "member")):
            store.execute(
                "INSERT INTO members (conversation_id, user_id, role, since_seq, read_seq)"
                " VALUES (?, ?, ?, 1, 0)",
                (id, user, role),
            )
    migrate(store)
    for user, owned in ((ann, 1), (bob, 0)):
        refused = [CreateGroup(user, "den", "", NOW_MS, owned, 2)] if owned else []
        refused.append(CreateGroup(user, "den", "", NOW_MS, 2, 1))
        assert all(isinstance(execute(store, create), Refused) for create in refused)
        create = CreateGroup(user, "den", "", NOW_MS, owned + 1, 2)
        assert isinstance(execute(store, create), GroupChanged)


def test_a_newer_store_is_left_alone(store: DatabaseConnection) -> None:
    store.execute("UPDATE schema_version SET version = 1000")
    with pytest.raises(SchemaTooNew, match=r"newer version .* start that version"):
        migrate(store)
    assert store.query("SELECT version FROM schema_version") == [(1000,)]
