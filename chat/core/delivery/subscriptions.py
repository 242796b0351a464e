"""The bus channels that this node listens to.

A channel is subscribed to when the first who needs it appears and left when the last is gone.
Whoever has to read something *after* the channel is heard leaves a record; it is given back when
the confirmation comes. Nobody waits for a bus that is down, nor longer than confirm_ms for one
that is silent: the sweep will find what was missed.
"""

from chat.core.ports.effects import Subscribe, Unsubscribe
from chat.core.state.context import Context
from chat.core.state.pending import Pending


class _Channel:
    __slots__ = ("confirmed", "needs", "ticket", "waiting")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.needs = 0
        self.confirmed = False
        self.waiting: list[Pending] = []


class Subscriptions:
    """Which channels are needed, by how many, and who waits for their confirmation."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._channels: dict[str, _Channel] = {}
        self._by_ticket: dict[int, str] = {}
        self.up = False
        """Whether the bus is there."""

    def __len__(self) -> int:
        return len(self._channels)

    def need(self, name: str) -> None:
        """One more needs the channel. Each `need` is ended by one `release`."""
        channel = self._channels.get(name)
        if channel is None:
            ticket = self._context.ticket()
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

    def wait(self, name: str, record: Pending) -> bool:
        """False if there is nothing to wait for; else the record is kept, to be given back."""
        channel = self._channels[name]
        if channel.confirmed or not self.up:
            return False
        channel.waiting.append(record)
        due = ("confirm", channel.ticket)
        self._context.deadlines.set(self._context.now_ms + self._context.config.confirm_ms, due)
        return True

    def confirm(self, ticket: int) -> list[Pending]:
        """The channel of this ticket is heard. Those who waited for it."""
        name = self._by_ticket.get(ticket)
        if name is None:
            return []
        self._channels[name].confirmed = True
        return self.give_up(ticket)

    def give_up(self, ticket: int) -> list[Pending]:
        """Those who wait for the channel of this ticket; they wait no longer."""
        name = self._by_ticket.get(ticket)
        if name is None:
            return []
        channel = self._channels[name]
        waiting, channel.waiting = channel.waiting, []
        return waiting

    def bus_down(self) -> list[Pending]:
        """Nothing is heard any more. Everyone who waited for anything."""
        self.up = False
        waiting: list[Pending] = []
        for channel in self._channels.values():
            channel.confirmed = False
            waiting += channel.waiting
            channel.waiting = []
        return waiting
