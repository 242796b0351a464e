"""The environment of the workloads: a folder, running servers, prepared stores."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from bench.results.comparison import Scale
from bench.targets.fixtures import make_tables
from bench.targets.servers import ChatNode, PinnedMariaDb, PinnedRedis
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import MySqlAddress
from chat.storage.backends.sqlite import open_sqlite
from deploy.servers import Server, missing

AnyServer = TypeVar("AnyServer", bound=Server)

SQLITE: Final = "sqlite"
MYSQL: Final = "mysql"


class MissingRequirement(Exception):
    """A workload cannot run on this machine; one sentence with cause and remedy."""


class Environment:
    """Starts servers and makes stores.

    MariaDB runs until `close`; every other server until the end of the workload's `scope`.
    """

    def __init__(self, folder: Path, scale: Scale, stores: Sequence[str]) -> None:
        self.folder = folder
        self.scale = scale
        self.stores = stores
        self._names = 0
        self._filled: dict[Callable[[DatabaseConnection], None], Path] = {}
        self._all = ExitStack()
        self._scope = ExitStack()
        self._mariadb: PinnedMariaDb | None = None

    # ------------------------------------------------------------------ servers

    def start(self, make: Callable[[Path], AnyServer]) -> AnyServer:
        """Starts a server that runs until the end of this scope."""
        server = make(self.fresh_folder())
        server.start()
        self._scope.callback(_end, server)
        return server

    def at_end(self, close: Callable[[], object]) -> None:
        """Calls `close` at the end of this scope."""
        self._scope.callback(close)

    def node(self, store: str, *flags: str) -> ChatNode:
        return self.start(lambda folder: ChatNode(folder, store, *flags))

    @property
    def mariadb(self) -> PinnedMariaDb:
        """One server for all scopes, started at first use. Raises MissingRequirement."""
        if self._mariadb is None:
            lack = missing("mariadbd")
            if lack is not None:
                raise MissingRequirement(lack)
            self._mariadb = PinnedMariaDb(self.fresh_folder())
            self._mariadb.start()
            self._all.callback(_end, self._mariadb)
        return self._mariadb

    def start_redis(self) -> PinnedRedis:
        """A new server for this scope. Raises MissingRequirement."""
        lack = missing("redis-server")
        if lack is not None:
            raise MissingRequirement(lack)
        return self.start(PinnedRedis)

    # ------------------------------------------------------------------ stores

    def new_store(self, kind: str, fill: Callable[[DatabaseConnection], None]) -> str:
        """The --store argument of a new store that `fill` has filled."""
        if kind == SQLITE:
            url = f"sqlite:{self.fresh_folder() / 'chat.db'}"
        else:
            url = self.mariadb.fresh_database()
        with contextlib.closing(self.open_store(url)) as connection:
            make_tables(connection)
            fill(connection)
        return url

    def copy_of_store(self, kind: str, fill: Callable[[DatabaseConnection], None]) -> str:
        """As `new_store`, but a SQLite store is filled once for each `fill`, and then copied."""
        if kind != SQLITE:
            return self.new_store(kind, fill)
        if fill not in self._filled:
            self._filled[fill] = Path(self.new_store(kind, fill).partition(":")[2])
        path = self.fresh_folder() / "chat.db"
        shutil.copy(self._filled[fill], path)
        return f"sqlite:{path}"

    def open_store(self, url: str) -> DatabaseConnection:
        kind, _, path = url.partition(":")
        if kind == SQLITE:
            return open_sqlite(path)
        return open_mysql(MySqlAddress.parse(url))

    def pids(self, node: ChatNode, store: str) -> dict[str, int]:
        """The processes that work for a node: itself and its database server."""
        pids = {"node": node.pid}
        return pids if store == SQLITE else pids | {"mariadbd": self.mariadb.pid}

    # ------------------------------------------------------------------ scopes

    def fresh_folder(self) -> Path:
        self._names += 1
        folder = self.folder / str(self._names)
        folder.mkdir(parents=True)
        return folder

    @contextlib.contextmanager
    def scope(self) -> Iterator[ExitStack]:
        """Servers started inside, and callbacks on the stack, end with the block."""
        with ExitStack() as self._scope:
            yield self._scope

    def close(self) -> None:
        self._all.close()


def _end(server: Server) -> None:
    if server.exit_status() is None:
        server.kill()
