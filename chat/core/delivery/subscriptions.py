"""The bus channels that this node is subscribed to.

A channel is subscribed to when the first part of the node needs it, and left when the last need of
it has ended. What must be read *after* the subscription is confirmed waits for that: its
continuation is called when the confirmation comes, when `confirm_ms` have passed without one, or
when the bus is down. In the latter two cases anti-entropy finds what was missed.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from chat.core.ports.effects import Subscribe, Unsubscribe
from chat.core.state.context import Context

OnConfirmed: TypeAlias = Callable[[], None]


class _Channel:
    """`needs`: how many needs are not released. `waiting`: called when it is confirmed."""

    __slots__ = ("confirmed", "needs", "ticket", "waiting")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.needs = 0
        self.confirmed = False
        self.waiting: list[OnConfirmed] = []


class Subscriptions:
    """Which channels are needed, by how many, and what waits for their confirmation."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._channels: dict[str, _Channel] = {}
        self._by_ticket: dict[int, str] = {}
        self.up = False
        """Whether the bus is there."""

    def __len__(self) -> int:
        return len(self._channels)

    def need(self, name: str) -> None:
        """One need more of the channel. Each `need` is ended by one `release`."""
        channel = self._channels.get(name)
        if channel is None:
            ticket = self._context.new_ticket()
            channel = self._channels[name] = _Channel(ticket)
            self._by_ticket[ticket] = name
            self._context.effects.append(Subscribe(name, ticket))
        channel.needs += 1

    def release(self, name: str) -> None:
        channel = self._channels[name]
        channel.needs -= 1
        if channel.needs == 0:
            del self._channels[name]
            del self._by_ticket[channel.ticket]
            self._context.effects.append(Unsubscribe(name))

    def wait(self, name: str, then: OnConfirmed) -> bool:
        """False if there is nothing to wait for; else `then` is called later, if the channel is
        still needed."""
        channel = self._channels[name]
        if channel.confirmed or not self.up:
            return False
        channel.waiting.append(then)
        due_ms = self._context.now_ms + self._context.config.confirm_ms
        self._context.deadlines.set(due_ms, partial(self._go_on, channel.ticket))
        return True

    def confirmed(self, ticket: int) -> None:
        """The bus confirms the subscription with this ticket."""
        name = self._by_ticket.get(ticket)
        if name is not None:
            self._channels[name].confirmed = True
            self._go_on(ticket)

    def _go_on(self, ticket: int) -> None:
        name = self._by_ticket.get(ticket)
        if name is not None:
            channel = self._channels[name]
            waiting, channel.waiting = channel.waiting, []
            self._call(waiting)

    def bus_down(self) -> None:
        """No channel is subscribed to any more; nothing waits for a bus that is down."""
        self.up = False
        waiting: list[OnConfirmed] = []
        for channel in self._channels.values():
            channel.confirmed = False
            waiting += channel.waiting
            channel.waiting = []
        self._call(waiting)

    def _call(self, waiting: list[OnConfirmed]) -> None:
        """Calls all of them, even if one raises; its exception is an internal error."""
        for then in waiting:
            try:
                then()
            except Exception as error:
                self._context.internal_errors.append(error)
