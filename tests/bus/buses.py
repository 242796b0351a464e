"""Nodes' clients of every kind of bus, for tests that hold for all: the bus of one process, the
simulated one on its own clock, Redis as fakeredis models it, and Redis."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from fakeredis import TcpFakeServer

from chat.bus.base import Bus, Feed
from chat.bus.local import LocalBus, LocalHub
from chat.bus.redis import RedisBus
from chat.core.ports.bus_messages import AnyBusMessage
from chat.core.ports.events import Answer, AnyEvent, BusMessageReceived, BusUp, Subscribed
from chat.core.ports.operations import PresenceFound
from deploy import servers
from sim.cluster.bus import BusPort, SimBus
from sim.cluster.injection_points import InjectionPoints
from sim.cluster.trace import Trace
from sim.cluster.world import World

WAIT_S = 10.0
FIRST_TICKET = 1_000_000
"""The tickets of `finds` begin here, so that tests may number their own from 1."""

Found = TypeVar("Found")


class Port:
    """A node's client of a bus, and the events it was fed. `step` advances simulated time."""

    def __init__(
        self, bus: Bus, step: Callable[[], None] | None = None, cluster: str = "tests"
    ) -> None:
        self.bus = bus
        self.events: list[AnyEvent] = []
        self._step = step
        self._fed = asyncio.Event()
        self._tickets = itertools.count(FIRST_TICKET)
        self.calling = False
        bus.start(self._feed, cluster)

    def _feed(self, event: AnyEvent) -> None:
        assert not self.calling, "fed from within a call"
        self.events.append(event)
        self._fed.set()

    async def until(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds, as soon as the events have it."""
        async with asyncio.timeout(WAIT_S):
            while (found := look()) is None:
                if self._step is not None:
                    self._step()
                    await asyncio.sleep(0)
                else:
                    self._fed.clear()
                    await self._fed.wait()
            return found

    async def receives(self, event: AnyEvent, count: int = 1) -> None:
        await self.until(lambda: self.events.count(event) >= count or None)

    async def subscribes(self, channel: str, ticket: int) -> None:
        self.subscribe(channel, ticket)
        await self.receives(Subscribed(ticket))

    def subscribe(self, channel: str, ticket: int) -> None:
        self.calling = True
        self.bus.subscribe(channel, ticket)
        self.calling = False

    def publish(self, channel: str, *messages: AnyBusMessage) -> None:
        self.calling = True
        for message in messages:
            self.bus.publish(channel, message)
        self.calling = False

    def messages(self) -> list[BusMessageReceived]:
        return [event for event in self.events if isinstance(event, BusMessageReceived)]

    async def asks(self, *users: int) -> Answer:
        ticket = next(self._tickets)
        self.calling = True
        self.bus.find_presence(ticket, users)
        self.calling = False

        def look() -> Answer | None:
            for event in self.events:
                if isinstance(event, Answer) and event.ticket == ticket:
                    return event
            return None

        return await self.until(look)

    async def finds(self, online: tuple[int, ...], *users: int) -> None:
        """The directory says in the end that exactly these of the users are online."""
        async with asyncio.timeout(WAIT_S):
            while (await self.asks(*users)).outcome != PresenceFound(online):
                await asyncio.sleep(0.01)


OpenPorts = Callable[[int], AbstractAsyncContextManager[list[Port]]]


@asynccontextmanager
async def local_ports(count: int) -> AsyncIterator[list[Port]]:
    hub = LocalHub()
    ports = [Port(LocalBus(hub)) for _ in range(count)]
    yield ports
    for port in ports:
        await port.bus.close()
    assert not hub.channels
    assert not hub.online


# ---------------------------------------------------------------------------- simulated


class _SimulatedBus:
    """A BusPort with the `start` and the `close` that a bus has."""

    def __init__(self, bus: SimBus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._feed: Feed | None = None
        self._online: set[int] = set()

    def start(self, feed: Feed, cluster: str) -> None:
        self._feed = feed
        self._port = BusPort(self._bus, self._name, self._tell)
        self.publish = self._port.publish
        self.subscribe = self._port.subscribe
        self.unsubscribe = self._port.unsubscribe
        self.find_presence = self._port.find_presence

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        self._online |= set(online)
        self._port.announce(online, offline)

    async def close(self) -> None:
        if self._feed is not None:
            self._feed = None
            self._port.announce((), tuple(self._online))
            self._port.kill()

    def _tell(self, event: AnyEvent) -> None:
        if self._feed is not None:
            self._feed(event)


@asynccontextmanager
async def simulated_ports(count: int) -> AsyncIterator[list[Port]]:
    world = World(seed=1)
    bus = SimBus(world, InjectionPoints(world), Trace(keep=False))
    bus.faults.delay_ms = (0, 3)

    def step() -> None:
        world.run_until(world.now_ms + 10)

    ports = [Port(_SimulatedBus(bus, f"node-{number}"), step) for number in range(count)]
    yield ports
    for port in ports:
        await port.bus.close()


# ---------------------------------------------------------------------------- Redis


@asynccontextmanager
async def redis_ports(url: str, count: int) -> AsyncIterator[list[Port]]:
    ports = [Port(RedisBus(url)) for _ in range(count)]
    for port in ports[1:]:
        await port.receives(BusUp())
    try:
        yield ports
    finally:
        for port in ports:
            await port.bus.close()


@asynccontextmanager
async def fake_redis_ports(count: int) -> AsyncIterator[list[Port]]:
    with TcpFakeServer((servers.HOST, 0), server_version=(7,)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"redis://{servers.HOST}:{server.server_address[1]}/0"
            async with redis_ports(url, count) as ports:
                yield ports
        finally:
            server.shutdown()
            thread.join()


def real_redis_ports(folder: Path) -> OpenPorts:
    @asynccontextmanager
    async def open_ports(count: int) -> AsyncIterator[list[Port]]:
        server = servers.Redis(folder)
        server.start()
        try:
            async with redis_ports(server.url, count) as ports:
                yield ports
        finally:
            server.kill()

    return open_ports
