"""Faults of Redis and of the connection to it, on a real one."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from chat.bus import redis_connection
from chat.bus.base import UNAVAILABLE
from chat.bus.redis import TIMES, RedisBus
from chat.bus.redis_presence import Times
from chat.core.ports.bus_messages import RosterBusMessage
from chat.core.ports.events import Answer, AnyEvent, BusDown, BusMessageReceived, BusUp, Subscribed
from chat.core.ports.operations import PresenceFound
from chat.core.ports.rosters import RosterChange
from deploy.servers import HOST, Redis
from tests.bus.buses import WAIT_S, Port
from tests.loops import Run
from tests.proxy import Proxy

pytestmark = pytest.mark.servers

SHORT = Times(renew_ms=100, lease_ms=400)


@pytest.fixture(name="proxy")
def fixture_proxy(redis: Redis) -> Iterator[Proxy]:
    proxy = Proxy(redis.port)
    yield proxy
    proxy.close()


@pytest.fixture(name="often")
def fixture_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent Redis is noticed sooner."""
    assert redis_connection.CHECK_S * (redis_connection.SILENT_CHECKS + 2) < WAIT_S
    monkeypatch.setattr(redis_connection, "CHECK_S", 0.2)


@asynccontextmanager
async def port_at(
    number: int, times: Times = TIMES, *, cluster: str = "tests"
) -> AsyncIterator[Port]:
    port = Port(RedisBus(f"redis://{HOST}:{number}/0", times), cluster=cluster)
    try:
        await port.receives(BusUp())
        yield port
    finally:
        await port.bus.close()


def news(number: int) -> RosterBusMessage:
    return RosterBusMessage(RosterChange(1, number, friend_removed=2))


def test_clusters_that_share_a_redis_are_separate(redis: Redis) -> None:
    async def script() -> None:
        async with (
            port_at(redis.port, cluster="one") as ann,
            port_at(redis.port, cluster="one") as bob,
            port_at(redis.port, cluster="two") as other,
        ):
            for ticket, port in enumerate((bob, other), 1):
                await port.subscribes("u:1", ticket)
            ann.bus.announce((1,), ())
            other.bus.announce((2,), ())
            await bob.finds((1,), 1, 2)
            await other.finds((2,), 1, 2)
            ann.publish("u:1", news(1))
            await bob.receives(BusMessageReceived("u:1", news(1)))
            # What came to Bob would have come to the other cluster before this.
            await other.subscribes("u:9", 9)
            assert not other.messages()

    asyncio.run(script())


def command(redis: Redis, line: str) -> bytes:
    """Sends Redis a command; gives the beginning of the reply."""
    with socket.create_connection((HOST, redis.port), 5) as caller:
        caller.sendall(line.encode() + b"\r\n")
        return caller.recv(65_536)


async def comes_back(port: Port, tickets: set[int], fault: Callable[[], object]) -> None:
    """After the fault: down, all subscribed again, and only then up."""
    since = len(port.events)
    fault()

    def look() -> list[AnyEvent] | None:
        news = port.events[since:]
        return news if BusUp() in news else None

    events = [event for event in await port.until(look) if not isinstance(event, Answer)]
    assert events[0] == BusDown()
    assert events[-1] == BusUp()
    assert {event.ticket for event in events if isinstance(event, Subscribed)} == tickets


async def survives(ann: Port, bob: Port, fault: Callable[[], object]) -> None:
    """Bob's connection breaks and comes back, with all his subscriptions and his presence."""
    for number in range(1_200):
        bob.subscribe(f"u:{number}", number)
    await bob.receives(Subscribed(1_199))
    bob.bus.announce((7,), ())
    await bob.finds((7,), 7)
    ups = ann.events.count(BusUp())
    await comes_back(bob, set(range(1_200)), fault)
    await bob.finds((7,), 7)
    if BusDown() in ann.events:
        await ann.receives(BusUp(), ups + 1)
    ann.publish("u:1100", news(1))
    await bob.receives(BusMessageReceived("u:1100", news(1)))


def test_redis_is_killed_and_started(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:

            def restart() -> None:
                redis.kill()
                redis.start()

            await survives(ann, bob, restart)

    run(work())


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_redis_kills_a_client(run: Run, redis: Redis, kind: str) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:
            await survives(ann, bob, lambda: command(redis, f"CLIENT KILL TYPE {kind}"))

    run(work())


def test_the_connection_is_cut(run: Run, redis: Redis, proxy: Proxy) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(proxy.port) as bob:
            await survives(ann, bob, proxy.cut)
            assert BusDown() not in ann.events

    run(work())


@pytest.mark.usefixtures("often")
def test_a_silent_redis_is_noticed(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as port:
            await port.subscribes("u:1", 1)
            redis.suspend()
            asked = asyncio.ensure_future(port.asks(1))
            await port.receives(BusDown())
            assert (await asked).outcome == UNAVAILABLE
            assert (await port.asks(1)).outcome == UNAVAILABLE
            redis.resume()
            await port.receives(BusUp(), 2)

    run(work())


def test_the_bus_can_be_closed_while_the_connection_breaks(
    run: Run, redis: Redis, proxy: Proxy
) -> None:
    async def work() -> None:
        async with port_at(redis.port), port_at(proxy.port) as port:
            proxy.passing.clear()
            closing = asyncio.ensure_future(port.bus.close())
            await asyncio.sleep(0)
            proxy.cut()
            await asyncio.wait_for(closing, WAIT_S)

    run(work())


def test_a_query_that_redis_does_not_answer_is_answered_in_time(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port, Times(find_ms=200)) as port:
            redis.suspend()
            assert (await port.asks(1)).outcome == UNAVAILABLE
            assert BusDown() not in port.events
            redis.resume()
            await port.finds((), 1)

    run(work())


@pytest.mark.usefixtures("often")
def test_one_publish_is_swallowed(run: Run, redis: Redis, proxy: Proxy) -> None:
    async def work() -> None:
        async with port_at(proxy.port) as ann, port_at(redis.port) as bob:
            await bob.subscribes("u:1", 1)
            swallowed = threading.Event()

            def swallow(data: bytes) -> bytes:
                if b"PUBLISH" not in data:
                    return data
                proxy.edit.clear()
                swallowed.set()
                return b""

            proxy.edit["up"] = swallow
            ann.publish("u:1", news(1))
            assert await asyncio.to_thread(swallowed.wait, 5)
            ann.publish("u:1", news(2))
            await bob.receives(BusMessageReceived("u:1", news(2)))
            assert BusMessageReceived("u:1", news(1)) not in bob.events
            # The publisher has noticed that a reply is missing.
            await ann.receives(BusDown())
            await ann.receives(BusUp(), 2)

    run(work())


@pytest.mark.usefixtures("often")
def test_forgotten_subscriptions_are_noticed(run: Run, redis: Redis, proxy: Proxy) -> None:
    """As by a proxy that goes on with another Redis."""

    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(proxy.port) as bob:

            def forget(data: bytes) -> bytes:
                if b"SUBSCRIBE" not in data:
                    return data
                proxy.edit.clear()
                return data + b"*1\r\n$11\r\nUNSUBSCRIBE\r\n"

            proxy.edit["up"] = forget
            await bob.subscribes("u:1", 1)
            await bob.receives(BusDown())
            await bob.receives(BusUp(), 2)
            ann.publish("u:1", news(1))
            await bob.receives(BusMessageReceived("u:1", news(1)))

    run(work())


def test_forgotten_subscriptions_are_noticed_with_the_next_one(
    run: Run, redis: Redis, proxy: Proxy
) -> None:
    async def work() -> None:
        async with port_at(proxy.port) as bob:

            def forget(data: bytes) -> bytes:
                if b"SUBSCRIBE" not in data:
                    return data
                del proxy.edit["up"]
                return data + b"*1\r\n$11\r\nUNSUBSCRIBE\r\n"

            proxy.edit["up"] = forget
            proxy.edit["down"] = lambda data: data.partition(b"*3\r\n$11\r\nunsubscribe")[0]
            await bob.subscribes("u:1", 1)
            assert BusDown() not in bob.events
            bob.bus.subscribe("u:2", 2)
            await bob.receives(BusDown())
            proxy.edit.clear()
            await bob.receives(BusUp(), 2)

    run(work())


def test_the_lease_of_a_dead_node_expires(run: Run, redis: Redis, proxy: Proxy) -> None:
    async def work() -> None:
        async with port_at(redis.port, SHORT) as ann, port_at(proxy.port, SHORT) as bob:
            ann.bus.announce((1,), ())
            bob.bus.announce((2,), ())
            await ann.finds((1, 2), 1, 2)
            proxy.passing.clear()
            await ann.finds((1,), 1, 2)
            proxy.passing.set()
            await ann.finds((1, 2), 1, 2)

    run(work())


def test_presence_that_redis_forgot_is_written_again(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port, SHORT) as port:
            port.bus.announce((1, 2), ())
            await port.finds((1, 2), 1, 2)
            command(redis, "FLUSHALL")
            await port.finds((1, 2), 1, 2)

    run(work())


def test_what_is_no_bus_message_is_dropped(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:
            await bob.subscribes("u:1", 1)
            for text in ("x", "{}", "'123456789012 {}'", '"' + "[" * 900 + '"', '"\\xff\\x00"'):
                assert command(redis, f"PUBLISH chat:tests:u:1 {text}").startswith(b":1")
            ann.publish("u:1", news(1))
            await bob.receives(BusMessageReceived("u:1", news(1)))
            assert len(bob.messages()) == 1
            assert BusDown() not in bob.events

    run(work())


def test_a_closed_bus_leaves_nothing_in_redis(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as port:
            port.bus.announce((1,), ())
            assert (await port.asks(1)).outcome == PresenceFound((1,))
        assert command(redis, "DBSIZE") == b":0\r\n"

    run(work())
    assert command(redis, "PUBSUB CHANNELS") == b"*0\r\n"
