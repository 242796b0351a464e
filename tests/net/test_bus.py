"""What every bus does. A bus joins with one line in BUSES: how to open so many ports of one hub."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from chat.core._generated.messages import PresenceState
from chat.core.envelopes import AnyEnvelope, PresenceEnvelope, RosterEnvelope
from chat.core.events import Answer, AnyEvent, BusUp, EnvelopeReceived, Subscribed
from chat.core.operations import PresenceFound
from chat.net.bus import Bus
from chat.net.local_bus import LocalBus, LocalHub
from tests.net.loops import Run

WAIT_S = 10.0


class Port:
    """A node's place at a bus, and what it heard there."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.events: list[AnyEvent] = []
        self._heard = asyncio.Event()
        self.calling = False
        bus.start(self._feed)

    def _feed(self, event: AnyEvent) -> None:
        assert not self.calling, "fed from within a call"
        self.events.append(event)
        self._heard.set()

    async def hears(self, event: AnyEvent) -> None:
        async with asyncio.timeout(WAIT_S):
            while event not in self.events:
                self._heard.clear()
                await self._heard.wait()

    async def subscribes(self, channel: str, ticket: int) -> None:
        self.bus.subscribe(channel, ticket)
        await self.hears(Subscribed(ticket))

    def publish(self, channel: str, *envelopes: AnyEnvelope) -> None:
        self.calling = True
        for envelope in envelopes:
            self.bus.publish(channel, envelope)
        self.calling = False

    def envelopes(self) -> list[EnvelopeReceived]:
        return [event for event in self.events if isinstance(event, EnvelopeReceived)]

    async def finds(self, ticket: int, *users: int) -> tuple[int, ...]:
        self.bus.find_presence(ticket, users)
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if isinstance(event, Answer) and event.ticket == ticket:
                        assert isinstance(event.outcome, PresenceFound)
                        return tuple(sorted(event.outcome.online))
                self._heard.clear()
                await self._heard.wait()


@asynccontextmanager
async def local_ports(count: int) -> AsyncIterator[list[Port]]:
    hub = LocalHub()
    ports = [Port(LocalBus(hub)) for _ in range(count)]
    yield ports
    for port in ports:
        await port.bus.close()
    assert not hub.channels
    assert not hub.online


OpenPorts = Callable[[int], AbstractAsyncContextManager[list[Port]]]
BUSES: dict[str, OpenPorts] = {"local": local_ports}


@pytest.fixture(params=BUSES, name="open_ports")
def fixture_open_ports(request: pytest.FixtureRequest) -> OpenPorts:
    return BUSES[request.param]


def news(number: int) -> RosterEnvelope:
    return RosterEnvelope(user=1, version=number)


def test_it_comes_up_by_itself(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(1) as (port,):
            assert not port.events
            await port.hears(BusUp())

    run(work())


def test_all_others_who_subscribed_hear_in_order(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(3) as ports:
            for number, port in enumerate(ports):
                await port.subscribes("g:1", number)
            ports[0].publish("g:1", *[news(number) for number in range(100)])
            for port in ports[1:]:
                await port.hears(EnvelopeReceived("g:1", news(99)))
                assert port.envelopes() == [
                    EnvelopeReceived("g:1", news(number)) for number in range(100)
                ]
            ports[1].publish("g:1", news(100))
            await ports[0].hears(EnvelopeReceived("g:1", news(100)))
            assert len(ports[0].envelopes()) == 1

    run(work())


def test_a_channel_is_heard_from_the_confirmation_to_the_unsubscription(
    run: Run, open_ports: OpenPorts
) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            await bob.subscribes("u:2", 1)
            ann.publish("u:1", news(1))
            await bob.subscribes("u:1", 2)
            ann.publish("u:1", news(2))
            await bob.hears(EnvelopeReceived("u:1", news(2)))
            bob.bus.unsubscribe("u:1")
            bob.bus.unsubscribe("u:7")
            ann.publish("u:1", news(3))
            ann.publish("u:2", news(4))
            await bob.hears(EnvelopeReceived("u:2", news(4)))
            assert [event.envelope for event in bob.envelopes()] == [news(2), news(4)]

    run(work())


def test_a_second_subscription_is_confirmed_and_heard_once(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (port, other):
            await port.subscribes("u:1", 1)
            await port.subscribes("u:1", 2)
            await port.subscribes("u:2", 3)
            other.publish("u:1", news(1))
            other.publish("u:2", news(2))
            await port.hears(EnvelopeReceived("u:2", news(2)))
            assert len(port.envelopes()) == 2

    run(work())


def test_who_is_online_on_any_node(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            ann.bus.announce((1, 2), ())
            bob.bus.announce((2, 3), ())
            assert await ann.finds(1, 1, 2, 3, 4) == (1, 2, 3)
            ann.bus.announce((4,), (1, 2))
            assert await ann.finds(2, 1, 2, 4) == (2, 4)
            await bob.bus.close()
            assert await ann.finds(3, 1, 2, 3, 4) == (4,)

    run(work())


def test_who_has_gone_hears_nothing(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(3) as (ann, bob, cyd):
            for port in (ann, bob, cyd):
                await port.subscribes("u:1", 1)
            await bob.bus.close()
            heard = list(bob.events)
            ann.publish("u:1", PresenceEnvelope(1, PresenceState.ONLINE))
            await cyd.hears(EnvelopeReceived("u:1", PresenceEnvelope(1, PresenceState.ONLINE)))
            assert bob.events == heard

    run(work())
