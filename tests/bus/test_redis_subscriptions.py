"""What Redis sends on the connection that subscribes, reply by reply."""

from typing import cast

import pytest

from chat.bus.redis_connection import Command, Receiver, RedisConnection
from chat.bus.redis_subscriptions import RedisSubscriptions
from chat.core.ports.events import AnyEvent, Subscribed


class FakeConnection:
    """Keeps what is sent, and the receiver of what comes."""

    receive: Receiver

    def __init__(self) -> None:
        self.sent: list[Command] = []

    def send(self, *commands: Command) -> None:
        self.sent += commands

    def stream_to(self, receiver: Receiver) -> None:
        self.receive = receiver


def test_a_redis_that_forgot_the_subscriptions_before_the_bus_is_up_is_noticed() -> None:
    """Only without subscriptions is a PING answered by its text alone."""
    events: list[AnyEvent] = []
    ups: list[bool] = []
    subscriptions = RedisSubscriptions(b"me ", events.append, lambda: ups.append(True))
    subscriptions.subscribe("u:1", 1)
    connection = FakeConnection()
    subscriptions.connected(cast(RedisConnection, connection))
    assert connection.sent == [("SUBSCRIBE", "u:1"), ("PING", "up")]
    connection.receive([b"subscribe", b"u:1", 1])
    assert events == [Subscribed(1)]
    with pytest.raises(ConnectionError):
        connection.receive(b"up")
    assert not ups
