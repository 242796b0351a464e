"""The deployed nginx.conf in front of real nodes."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.core.ports.events import ConnectionOpened
from chat.net.proxy_protocol import Balancers
from deploy.cluster import nginx_conf
from deploy.servers import HOST, Nginx, free_port
from tests.conftest import need
from tests.loops import Run
from tests.loops import fixture_run as fixture_run
from tests.net.running_node import Peer, RunningNode, running_node

pytestmark = pytest.mark.servers

CLIENT = "127.0.0.5"


@contextlib.contextmanager
def balancer(folder: Path, *nodes: int) -> Iterator[Nginx]:
    need("nginx")
    nginx = Nginx(folder / "nginx", lambda port: nginx_conf(port, nodes))
    try:
        nginx.start()
        yield nginx
    finally:
        nginx.stop()


async def dial(up: RunningNode, port: int) -> Peer:
    raw = socket.socket()
    raw.setblocking(False)
    raw.bind((CLIENT, 0))
    await asyncio.get_running_loop().sock_connect(raw, (HOST, port))
    peer = up.add(raw)
    assert (await peer.line())["type"] == "welcome"
    return peer


def test_the_node_knows_who_is_behind_nginx(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", balancers=Balancers.parse(HOST)) as up:
            with balancer(tmp_path, up.port) as nginx:
                await dial(up, nginx.port)
                (opened,) = up.node.received(ConnectionOpened)
                assert isinstance(opened, ConnectionOpened)
                assert opened.address == CLIENT

    run(work())


def test_connections_go_to_the_nodes_in_turn(run: Run, tmp_path: Path) -> None:
    """Whichever nginx process accepts the connection."""

    async def work() -> None:
        balancers = Balancers.parse(HOST)
        async with (
            running_node(tmp_path / "one.db", balancers=balancers) as one,
            running_node(tmp_path / "two.db", balancers=balancers) as two,
        ):
            with balancer(tmp_path, one.port, two.port) as nginx:
                for number in range(1, 9):
                    await dial(one, nginx.port)
                    opened = [len(up.node.received(ConnectionOpened)) for up in (one, two)]
                    assert sorted(opened) == [number // 2, (number + 1) // 2]

    run(work())


def test_a_node_that_is_away_is_not_noticed(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", balancers=Balancers.parse(HOST)) as up:
            with balancer(tmp_path, free_port(), up.port) as nginx:
                for _ in range(6):
                    await dial(up, nginx.port)

    run(work())


def listener(port: int = 0) -> socket.socket:
    """A socket that stands for a node: what it accepts has come through nginx."""
    return socket.create_server((HOST, port), backlog=16)


def comes(node: socket.socket, within_s: float) -> socket.socket | None:
    """The next connection to the node; None if none comes in time."""
    node.settimeout(within_s)
    with contextlib.suppress(TimeoutError):
        return node.accept()[0]
    return None


def test_a_node_is_used_as_soon_as_it_is_back_though_all_were_away(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with balancer(tmp_path, *ports) as nginx:
        for _ in range(4):
            with socket.create_connection((HOST, nginx.port), 5) as refused:
                assert refused.recv(1) == b""
        with listener(ports[0]) as node, socket.create_connection((HOST, nginx.port), 5):
            came = comes(node, 1)
            assert came is not None
            came.close()


def test_a_node_that_hangs_is_not_given_all_new_connections(tmp_path: Path) -> None:
    """It takes connections, as the kernel does that for it, and its clients leave it."""
    with contextlib.ExitStack() as stack:
        hangs, works = stack.enter_context(listener()), stack.enter_context(listener())
        nginx = stack.enter_context(
            balancer(tmp_path, hangs.getsockname()[1], works.getsockname()[1])
        )
        for _ in range(5):
            dials = 0
            while True:
                dials += 1
                assert dials <= 2
                dialled = socket.create_connection((HOST, nginx.port), 5)
                came = comes(works, 0.5)
                if came is not None:
                    stack.callback(dialled.close)
                    stack.callback(came.close)
                    break
                dialled.close()
