"""Where the shapes are played: a folder, the servers that were started, stores to fill."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from bench.fixtures import make_tables
from bench.targets import ChatNode, PinnedMariaDb, PinnedRedis
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import Address
from chat.storage.backends.sqlite import open_sqlite
from deploy.servers import Server, missing

AnyServer = TypeVar("AnyServer", bound=Server)

SQLITE: Final = "sqlite"
MYSQL: Final = "mysql"


class Unable(Exception):
    """A shape cannot be played here; one sentence with cause and cure."""


class Scale(NamedTuple):
    """How much is done. `size` shrinks what is large."""

    rounds: int
    seconds: float
    size: float


FULL: Final = Scale(3, 1.5, 1.0)
QUICK: Final = Scale(1, 0.5, 0.1)
TINY: Final = Scale(1, 0.05, 0.01)
"""To see that it works; the figures are worth nothing."""


class Stage:
    """Servers end with the stage; those of a shape end with its scene."""

    def __init__(self, folder: Path, scale: Scale, stores: Sequence[str]) -> None:
        self.folder = folder
        self.scale = scale
        self.stores = stores
        self._names = 0
        self._all = ExitStack()
        self._scene = ExitStack()
        self._mariadb: PinnedMariaDb | None = None

    # ------------------------------------------------------------------ servers

    def start(self, make: Callable[[Path], AnyServer]) -> AnyServer:
        """A server for this scene."""
        server = make(self.fresh_folder())
        server.start()
        self._scene.callback(_end, server)
        return server

    def at_end(self, close: Callable[[], object]) -> None:
        """Called when this scene ends."""
        self._scene.callback(close)

    def node(self, store: str, *flags: str) -> ChatNode:
        return self.start(lambda folder: ChatNode(folder, store, *flags))

    @property
    def mariadb(self) -> PinnedMariaDb:
        """One for all scenes. Raises Unable."""
        if self._mariadb is None:
            lack = missing("mariadbd")
            if lack is not None:
                raise Unable(lack)
            self._mariadb = PinnedMariaDb(self.fresh_folder())
            self._mariadb.start()
            self._all.callback(_end, self._mariadb)
        return self._mariadb

    def start_redis(self) -> PinnedRedis:
        """One for this scene. Raises Unable."""
        lack = missing("redis-server")
        if lack is not None:
            raise Unable(lack)
        return self.start(PinnedRedis)

    # ------------------------------------------------------------------ stores

    def new_store(self, kind: str, fill: Callable[[DatabaseConnection], None]) -> str:
        """What to give a node as --store: a new one, with what `fill` put into it."""
        if kind == SQLITE:
            url = f"sqlite:{self.fresh_folder() / 'chat.db'}"
        else:
            url = self.mariadb.fresh_database()
        with contextlib.closing(self.open_store(url)) as connection:
            make_tables(connection)
            fill(connection)
        return url

    def open_store(self, url: str) -> DatabaseConnection:
        kind, _, path = url.partition(":")
        if kind == SQLITE:
            return open_sqlite(path)
        return open_mysql(Address.parse(url))

    def pids(self, node: ChatNode, store: str) -> dict[str, int]:
        """The processes that a node's work is done in."""
        pids = {"node": node.pid}
        return pids if store == SQLITE else pids | {"mariadbd": self.mariadb.pid}

    # ------------------------------------------------------------------ scenes

    def fresh_folder(self) -> Path:
        self._names += 1
        folder = self.folder / str(self._names)
        folder.mkdir(parents=True)
        return folder

    @contextlib.contextmanager
    def scene(self) -> Iterator[ExitStack]:
        """What is started or put into it in here ends with it."""
        with ExitStack() as self._scene:
            yield self._scene

    def close(self) -> None:
        self._all.close()


def _end(server: Server) -> None:
    if server.exit_status() is None:
        server.kill()
