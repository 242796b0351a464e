"""A cluster of real programs keeps the contract while parts are killed and Redis is silent."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.client.session.ports import events
from chat.core.ports import operations as op
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import MySqlAddress
from chat.storage.dispatch import execute
from chat.storage.schema import migrate
from deploy.cluster import ChatNode, Cluster
from deploy.servers import Redis
from tests.conftest import need
from tests.proxy import Proxy
from tests.soak import HEALED_S, NODES, PASSWORD, Device, password_hash, short, soak

pytestmark = pytest.mark.servers
AT_ONCE_S = 2.0
ANTI_ENTROPY_MS = 5_000


def test_every_part_is_killed_once_under_a_steady_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("mariadbd", "redis-server", "nginx")
    cluster = Cluster(tmp_path, NODES, "--wait")
    try:
        cluster.start()
        run = asyncio.run(soak(cluster, short))
    finally:
        complaints = cluster.stop()
        cluster.kill()
    with capsys.disabled():
        print(f"\n{run.report()}")
    assert complaints == []
    assert max(max(fault.seen_s) for fault in run.faults) < HEALED_S


class Pair:
    """Two friends, Ann on node 1 and Bob on node 2; node 1 reaches Redis through a proxy."""

    def __init__(self, folder: Path, database: str, redis: Redis) -> None:
        connection = open_mysql(MySqlAddress.parse(database))
        migrate(connection)
        users = []
        for name in ("ann", "bob"):
            made = execute(connection, op.CreateUser(name, password_hash(), 0))
            assert isinstance(made, op.UserCreated)
            users.append(made.user.id)
        self.ann_id, self.bob_id = users
        execute(connection, op.AddFriend(self.ann_id, self.bob_id, 0))
        execute(connection, op.AddFriend(self.bob_id, self.ann_id, 0))
        connection.close()
        self.proxy = Proxy(redis.port)
        flags = ("--anti-entropy-ms", str(ANTI_ENTROPY_MS))
        bus = f"redis://127.0.0.1:{self.proxy.port}/0"
        self.nodes = [
            ChatNode(folder / "node-1", database, bus, *flags, balanced=False),
            ChatNode(folder / "node-2", database, redis.url, *flags, balanced=False),
        ]
        for node in self.nodes:
            node.start()

    async def log_in(self) -> None:
        chance = random.Random(1)
        self.ann = Device("ann", self.ann_id, self.nodes[0].port, chance)
        self.bob = Device("bob", self.bob_id, self.nodes[1].port, chance)
        for device in (self.ann, self.bob):
            device.driver.feed(events.LogIn(device.user, PASSWORD))
        await until(lambda: self.ann.session.logged_in and self.bob.session.logged_in, HEALED_S)

    def say(self, text: str) -> None:
        self.ann.say(events.SendChat(len(self.ann.said) + 1, self.bob_id, text))

    def received(self) -> list[str]:
        return [entry.text for run in self.bob.applied.values() for entry in run]

    async def receives(self, *texts: str, within_s: float) -> float:
        start_s = time.monotonic()
        await until(lambda: self.received() == list(texts), within_s)
        return time.monotonic() - start_s

    def disconnect(self) -> None:
        for device in (self.ann, self.bob):
            device.driver.close()

    def close(self) -> None:
        for node in self.nodes:
            node.stop()
        self.proxy.close()


async def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline_s, "it takes too long"
        await asyncio.sleep(0.01)


def test_a_bus_message_that_redis_loses_is_found_by_the_next_one_or_by_anti_entropy(
    tmp_path: Path, database: str, redis: Redis
) -> None:
    pair = Pair(tmp_path, database, redis)

    swallowed = threading.Event()

    def swallow(data: bytes) -> bytes:
        if b"PUBLISH" in data:
            swallowed.set()
        # Another command of the same form, whose reply looks the same.
        return data.replace(b"PUBLISH", b"PFCOUNT")

    async def work() -> None:
        await pair.log_in()
        pair.say("one")
        await pair.receives("one", within_s=AT_ONCE_S)

        pair.proxy.edit["up"] = swallow
        pair.say("two")
        await until(lambda: pair.ann.said[2].settled is not None, AT_ONCE_S)
        # `sent` may come before the node writes to Redis.
        await until(swallowed.is_set, AT_ONCE_S)
        pair.proxy.edit.clear()
        assert pair.received() == ["one"]
        pair.say("three")
        await pair.receives("one", "two", "three", within_s=AT_ONCE_S)

        pair.proxy.edit["up"] = swallow
        pair.say("four")
        took_s = await pair.receives("one", "two", "three", "four", within_s=HEALED_S)
        assert took_s < ANTI_ENTROPY_MS / 1000 + AT_ONCE_S

        pair.proxy.edit.clear()
        redis.kill()
        redis.start()
        pair.say("five")
        await pair.receives("one", "two", "three", "four", "five", within_s=HEALED_S)
        pair.disconnect()

    try:
        asyncio.run(work())
    finally:
        pair.close()
