"""Two nodes with one store and one bus, in one process: it does not matter on which node a user
is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chat.bus.base import Bus
from chat.bus.local import LocalBus, LocalHub
from chat.bus.none import NoBus
from chat.bus.redis import RedisBus
from chat.core.ports.events import BusDown, BusUp
from chat.core.state.config import NodeConfig
from deploy.servers import Redis
from tests.loops import Run
from tests.net.running_node import Peer, RunningNode, running_node

NO_ANTI_ENTROPY = NodeConfig(anti_entropy_ms=3_600_000)
"""Without anti-entropy: what arrives, arrives by the bus."""


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.servers)], name="new_bus")
def fixture_new_bus(request: pytest.FixtureRequest) -> Callable[[], Bus]:
    if request.param == "redis":
        redis: Redis = request.getfixturevalue("redis")
        return partial(RedisBus, redis.url)
    return partial(LocalBus, LocalHub())


async def befriend(left: RunningNode, right: RunningNode) -> tuple[Peer, Peer]:
    ann, bob = await left.log_in("ann"), await right.log_in("bob")
    await ann.ask("add_friend", 3, user="bob")
    await bob.line_of("friend_request")
    await bob.ask("add_friend", 3, user="ann")
    await ann.line_of("friend")
    await bob.line_of("friend")
    return ann, bob


async def chat(ann: Peer, bob: Peer, number: int) -> None:
    await ann.ask("chat", 10 + number, to="bob", text=f"text {number}", key=f"k{number}")
    assert (await bob.line_of("message"))["text"] == f"text {number}"


@pytest.mark.servers
def test_without_redis_anti_entropy_delivers(run: Run, tmp_path: Path, redis: Redis) -> None:
    async def work() -> None:
        store = tmp_path / "chat.db"
        async with (
            running_node(store, NO_ANTI_ENTROPY, bus=RedisBus(redis.url)) as left,
            running_node(store, NO_ANTI_ENTROPY, bus=RedisBus(redis.url)) as right,
        ):
            await left.node.receives(BusUp)
            await right.node.receives(BusUp)
            ann, bob = await befriend(left, right)
            await chat(ann, bob, 1)
            redis.kill()
            await left.node.receives(BusDown)
            await right.node.receives(BusDown)
            await chat(ann, bob, 2)
            redis.start()
            await left.node.receives(BusUp, 2)
            await right.node.receives(BusUp, 2)
            await chat(ann, bob, 3)

    run(work())


def test_without_a_bus_anti_entropy_delivers(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        store = tmp_path / "chat.db"
        async with (
            running_node(store, NO_ANTI_ENTROPY, bus=NoBus()) as left,
            running_node(store, NO_ANTI_ENTROPY, bus=NoBus()) as right,
        ):
            ann, bob = await befriend(left, right)
            await chat(ann, bob, 1)

    run(work())


def test_friends_on_two_nodes_chat(run: Run, tmp_path: Path, new_bus: Callable[[], Bus]) -> None:
    async def work() -> None:
        store = tmp_path / "chat.db"
        async with (
            running_node(store, NO_ANTI_ENTROPY, bus=new_bus()) as left,
            running_node(store, NO_ANTI_ENTROPY, bus=new_bus()) as right,
        ):
            await left.node.receives(BusUp)
            await right.node.receives(BusUp)
            ann, bob = await left.log_in("ann"), await right.log_in("bob")
            await ann.ask("add_friend", 3, user="bob")
            assert (await bob.line_of("friend_request"))["user"]["name"] == "ann"
            await bob.ask("add_friend", 3, user="ann")
            friend = (await ann.line_of("friend"))["friend"]
            assert friend["name"] == "bob"
            if friend["state"] == "offline":
                online = {"type": "presence", "user": friend["id"], "state": "online"}
                assert await ann.line_of("presence") == online
            await bob.line_of("friend")
            for number in range(20):
                await ann.ask(
                    "chat", 10 + number, to="bob", text=f"text {number}", key=f"k{number}"
                )
            for number in range(20):
                message = await bob.line_of("message")
                assert (message["seq"], message["text"]) == (number + 1, f"text {number}")
            await bob.ask("mark_read", 4, conversation=friend["conversation"], seq=20)
            assert (await ann.line_of("receipt"))["seq"] == 20

    run(work())
