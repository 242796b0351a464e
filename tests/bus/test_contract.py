"""What every bus does: the same tests on each."""

from pathlib import Path

import pytest

from chat.core.ports.bus_messages import PresenceBusMessage, RosterBusMessage
from chat.core.ports.events import BusMessageReceived, BusUp, Subscribed
from chat.core.ports.rosters import RosterChange
from chat.protocol.messages import PresenceState
from tests.bus.buses import (
    OpenPorts,
    fake_redis_ports,
    local_ports,
    real_redis_ports,
    simulated_ports,
)
from tests.conftest import need
from tests.loops import Run

BUSES = {"local": local_ports, "simulated": simulated_ports, "fakeredis": fake_redis_ports}


@pytest.fixture(
    params=[*BUSES, pytest.param("redis", marks=pytest.mark.servers)], name="open_ports"
)
def fixture_open_ports(request: pytest.FixtureRequest, tmp_path: Path) -> OpenPorts:
    if request.param == "redis":
        need("redis-server")
        return real_redis_ports(tmp_path)
    return BUSES[request.param]


def news(number: int) -> RosterBusMessage:
    return RosterBusMessage(RosterChange(1, number, friend_removed=2))


def test_it_comes_up_by_itself(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(1) as (port,):
            assert not port.events
            await port.receives(BusUp())

    run(work())


def test_all_other_subscribers_receive_in_order(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(3) as ports:
            for number, port in enumerate(ports):
                await port.subscribes("g:1", number)
            ports[0].publish("g:1", *[news(number) for number in range(100)])
            for port in ports[1:]:
                await port.receives(BusMessageReceived("g:1", news(99)))
                assert port.messages() == [
                    BusMessageReceived("g:1", news(number)) for number in range(100)
                ]
            ports[1].publish("g:1", news(100))
            await ports[0].receives(BusMessageReceived("g:1", news(100)))
            assert len(ports[0].messages()) == 1

    run(work())


def test_a_channel_is_received_from_the_confirmation_to_the_unsubscription(
    run: Run, open_ports: OpenPorts
) -> None:
    async def work() -> None:
        async with open_ports(3) as (ann, bob, cyd):
            await cyd.subscribes("u:1", 1)
            await bob.subscribes("u:2", 1)
            await ann.receives(BusUp())
            ann.publish("u:1", news(1))
            await cyd.receives(BusMessageReceived("u:1", news(1)))
            await bob.subscribes("u:1", 2)
            ann.publish("u:1", news(2))
            await bob.receives(BusMessageReceived("u:1", news(2)))
            bob.bus.unsubscribe("u:1")
            bob.bus.unsubscribe("u:7")
            ann.publish("u:1", news(3))
            ann.publish("u:2", news(4))
            await bob.receives(BusMessageReceived("u:2", news(4)))
            assert [event.message for event in bob.messages()] == [news(2), news(4)]

    run(work())


def test_the_latest_subscription_counts(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            for ticket in range(1, 6):
                bob.subscribe("u:1", ticket)
                bob.bus.unsubscribe("u:1")
            bob.subscribe("u:1", 6)
            await bob.receives(Subscribed(6))
            await ann.receives(BusUp())
            ann.publish("u:1", news(1))
            await bob.receives(BusMessageReceived("u:1", news(1)))
            assert len(bob.messages()) == 1

    run(work())


def test_thousands_of_channels_at_once(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            for number in range(10_000):
                bob.subscribe(f"u:{number}", number)
            await bob.receives(Subscribed(9_999))
            assert sum(isinstance(event, Subscribed) for event in bob.events) == 10_000
            await ann.receives(BusUp())
            ann.publish("u:7777", news(1))
            await bob.receives(BusMessageReceived("u:7777", news(1)))

    run(work())


def test_a_second_subscription_is_confirmed_and_its_messages_come_once(
    run: Run, open_ports: OpenPorts
) -> None:
    async def work() -> None:
        async with open_ports(2) as (port, other):
            await port.subscribes("u:1", 1)
            await port.subscribes("u:1", 2)
            await port.subscribes("u:2", 3)
            await other.receives(BusUp())
            other.publish("u:1", news(1))
            other.publish("u:2", news(2))
            await port.receives(BusMessageReceived("u:2", news(2)))
            assert len(port.messages()) == 2

    run(work())


def test_the_directory_has_the_users_of_all_nodes(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            ann.bus.announce((1, 2), ())
            bob.bus.announce((2, 3), ())
            await ann.finds((1, 2, 3), 1, 2, 3, 4)
            ann.bus.announce((4,), (1, 2))
            await ann.finds((2, 4), 1, 2, 4)
            await bob.finds((4, 2), 4, 2, 1)
            await bob.bus.close()
            await ann.finds((4,), 1, 2, 3, 4)
            await ann.finds(())

    run(work())


def test_the_directory_has_thousands_of_users(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(2) as (ann, bob):
            ann.bus.announce(tuple(range(0, 5_000, 2)), ())
            await bob.finds(tuple(range(0, 5_000, 2)), *range(5_000))

    run(work())


def test_a_closed_bus_feeds_nothing(run: Run, open_ports: OpenPorts) -> None:
    async def work() -> None:
        async with open_ports(3) as (ann, bob, cyd):
            for port in (ann, bob, cyd):
                await port.subscribes("u:1", 1)
            await bob.bus.close()
            events = list(bob.events)
            ann.publish("u:1", PresenceBusMessage(1, PresenceState.ONLINE))
            await cyd.receives(
                BusMessageReceived("u:1", PresenceBusMessage(1, PresenceState.ONLINE))
            )
            assert bob.events == events

    run(work())
