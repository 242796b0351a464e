"""What can happen to Redis and to the way to it, on a real one."""

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
from deploy.servers import HOST, Redis
from tests.bus.buses import WAIT_S, Port
from tests.net.loops import Run
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
        await port.hears(BusUp())
        yield port
    finally:
        await port.bus.close()


def news(number: int) -> RosterBusMessage:
    return RosterBusMessage(user=1, version=number)


def test_clusters_that_share_a_redis_do_not_hear_each_other(redis: Redis) -> None:
    async def script() -> None:
        async with (
            port_at(redis.port, cluster="one") as ann,
            port_at(redis.port, cluster="one") as bob,
            port_at(redis.port, cluster="two") as stranger,
        ):
            for ticket, port in enumerate((bob, stranger), 1):
                await port.subscribes("u:1", ticket)
            ann.bus.announce((1,), ())
            stranger.bus.announce((2,), ())
            await bob.finds((1,), 1, 2)
            await stranger.finds((2,), 1, 2)
            ann.publish("u:1", news(1))
            await bob.hears(BusMessageReceived("u:1", news(1)))
            # What came to Bob would have come to the stranger before this.
            await stranger.subscribes("u:9", 9)
            assert not stranger.envelopes()

    asyncio.run(script())


def command(redis: Redis, line: str) -> bytes:
    """Has Redis do something; the beginning of what it says."""
    with socket.create_connection((HOST, redis.port), 5) as caller:
        caller.sendall(line.encode() + b"\r\n")
        return caller.recv(65_536)


async def comes_back(port: Port, tickets: set[int], strike: Callable[[], object]) -> None:
    """After the blow: down, all subscribed again, and only then up."""
    since = len(port.events)
    strike()

    def look() -> list[AnyEvent] | None:
        news = port.events[since:]
        return news if BusUp() in news else None

    events = [event for event in await port.until(look) if not isinstance(event, Answer)]
    assert events[0] == BusDown()
    assert events[-1] == BusUp()
    assert {event.ticket for event in events if isinstance(event, Subscribed)} == tickets


async def survives(ann: Port, bob: Port, strike: Callable[[], object]) -> None:
    """Bob's way to the bus breaks and comes back, with all that he had on it."""
    for number in range(1_200):
        bob.subscribe(f"u:{number}", number)
    await bob.hears(Subscribed(1_199))
    bob.bus.announce((7,), ())
    await bob.finds((7,), 7)
    ups = ann.events.count(BusUp())
    await comes_back(bob, set(range(1_200)), strike)
    await bob.finds((7,), 7)
    if BusDown() in ann.events:
        await ann.hears(BusUp(), ups + 1)
    ann.publish("u:1100", news(1))
    await bob.hears(BusMessageReceived("u:1100", news(1)))


def test_redis_is_killed_and_started(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:

            def restart() -> None:
                redis.kill()
                redis.start()

            await survives(ann, bob, restart)

    run(work())


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_a_client_is_thrown_out(run: Run, redis: Redis, kind: str) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:
            await survives(ann, bob, lambda: command(redis, f"CLIENT KILL TYPE {kind}"))

    run(work())


def test_the_way_is_cut(run: Run, redis: Redis, proxy: Proxy) -> None:
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
            await port.hears(BusDown())
            assert (await asked).outcome == UNAVAILABLE
            assert (await port.asks(1)).outcome == UNAVAILABLE
            redis.resume()
            await port.hears(BusUp(), 2)

    run(work())


def test_it_can_be_left_while_the_way_breaks(run: Run, redis: Redis, proxy: Proxy) -> None:
    async def work() -> None:
        async with port_at(redis.port), port_at(proxy.port) as port:
            proxy.passing.clear()
            leaving = asyncio.ensure_future(port.bus.close())
            await asyncio.sleep(0)
            proxy.cut()
            await asyncio.wait_for(leaving, WAIT_S)

    run(work())


def test_whom_nobody_answers_is_told_so_in_time(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port, Times(find_ms=200)) as port:
            redis.suspend()
            assert (await port.asks(1)).outcome == UNAVAILABLE
            assert BusDown() not in port.events
            redis.resume()
            await port.finds((), 1)

    run(work())


@pytest.mark.usefixtures("often")
def test_one_envelope_is_swallowed(run: Run, redis: Redis, proxy: Proxy) -> None:
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
            await bob.hears(BusMessageReceived("u:1", news(2)))
            assert BusMessageReceived("u:1", news(1)) not in bob.events
            # Who published has noticed that a reply is missing.
            await ann.hears(BusDown())
            await ann.hears(BusUp(), 2)

    run(work())


@pytest.mark.usefixtures("often")
def test_forgotten_subscriptions_are_noticed(run: Run, redis: Redis, proxy: Proxy) -> None:
    """As by a proxy that goes on with another Redis, and tells nobody."""

    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(proxy.port) as bob:

            def forget(data: bytes) -> bytes:
                if b"SUBSCRIBE" not in data:
                    return data
                proxy.edit.clear()
                return data + b"*1\r\n$11\r\nUNSUBSCRIBE\r\n"

            proxy.edit["up"] = forget
            await bob.subscribes("u:1", 1)
            await bob.hears(BusDown())
            await bob.hears(BusUp(), 2)
            ann.publish("u:1", news(1))
            await bob.hears(BusMessageReceived("u:1", news(1)))

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
            await bob.hears(BusDown())
            proxy.edit.clear()
            await bob.hears(BusUp(), 2)

    run(work())


def test_the_lease_of_the_dead_runs_out(run: Run, redis: Redis, proxy: Proxy) -> None:
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


def test_what_a_redis_forgot_is_written_again(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port, SHORT) as port:
            port.bus.announce((1, 2), ())
            await port.finds((1, 2), 1, 2)
            command(redis, "FLUSHALL")
            await port.finds((1, 2), 1, 2)

    run(work())


def test_what_is_no_envelope_is_passed_over(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as ann, port_at(redis.port) as bob:
            await bob.subscribes("u:1", 1)
            for text in ("x", "{}", "'123456789012 {}'", '"' + "[" * 900 + '"', '"\\xff\\x00"'):
                assert command(redis, f"PUBLISH chat:tests:u:1 {text}").startswith(b":1")
            ann.publish("u:1", news(1))
            await bob.hears(BusMessageReceived("u:1", news(1)))
            assert len(bob.envelopes()) == 1
            assert BusDown() not in bob.events

    run(work())


def test_nothing_stays_behind(run: Run, redis: Redis) -> None:
    async def work() -> None:
        async with port_at(redis.port) as port:
            port.bus.announce((1,), ())
            assert (await port.asks(1)).outcome == PresenceFound((1,))
        assert command(redis, "DBSIZE") == b":0\r\n"

    run(work())
    assert command(redis, "PUBSUB CHANNELS") == b"*0\r\n"
