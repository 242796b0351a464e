"""Migrations: numbered SQL files that bring a store up to what this program expects.

A file `NNNN_name.sql` takes a store from schema NNNN - 1 to NNNN. Statements are never changed once
they were released; a change is another file. A store that is newer than the program is not
touched: the program must not write to tables that it does not understand.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.errors import SchemaTooNew

_VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)"


class Migration(NamedTuple):
    """`version` is the schema after it; statements carry no semicolon at their end."""

    version: int
    statements: tuple[str, ...]


def load_migrations() -> tuple[Migration, ...]:
    """All migrations, in order."""
    folder = files("chat.storage") / "migrations"
    named = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(
        Migration(int(name.split("_")[0]), _statements(entry.read_text("utf-8")))
        for name, entry in named
    )


def migrate(connection: DatabaseConnection, migrations: Sequence[Migration] | None = None) -> int:
    """Brings the store to the newest schema, and returns its number.

    Each migration is one transaction, as far as the database can do that for a CREATE. Raises
    SchemaTooNew, before anything is changed, if the store knows migrations that this program
    does not; StoreError if the database fails.
    """
    known = load_migrations() if migrations is None else migrations
    newest = known[-1].version
    with connection.schema_lock():
        version = in_transaction(connection, lambda: _read_version(connection), write=True)
        if version > newest:
            raise SchemaTooNew(
                f"{connection.name} was made by a newer version of this program (schema"
                f" {version}, this one knows up to {newest}); start that version, or choose"
                " another store."
            )
        for migration in known:
            if migration.version > version:
                _apply(connection, migration)
    return newest


def cluster_name(connection: DatabaseConnection, fresh: str) -> str:
    """The name of the cluster of the nodes that share this store. The first node to ask gives it
    the name `fresh`. The schema must be there. Raises StoreError."""

    def work() -> str:
        rows = connection.query("SELECT name FROM cluster")
        if not rows:
            connection.execute("INSERT INTO cluster (only_row, name) VALUES (1, ?)", (fresh,))
        return str(rows[0][0]) if rows else fresh

    with connection.schema_lock():
        return in_transaction(connection, work, write=True)


def _apply(connection: DatabaseConnection, migration: Migration) -> None:
    def work() -> None:
        for statement in migration.statements:
            connection.define(statement)
        connection.execute("UPDATE schema_version SET version = ?", (migration.version,))

    in_transaction(connection, work, write=True)


def _read_version(connection: DatabaseConnection) -> int:
    connection.define(_VERSION_TABLE)
    rows = connection.query("SELECT version FROM schema_version")
    if rows:
        return int(rows[0][0])
    connection.execute("INSERT INTO schema_version (version) VALUES (0)")
    return 0


def _statements(text: str) -> tuple[str, ...]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return tuple(filter(None, map(str.strip, "\n".join(lines).split(";"))))
