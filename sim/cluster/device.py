"""A simulated device: the real client session of one person, and all it was told.

It does what the client's adapter does, on the world's clock: dials through the balancer, carries
bytes, waits for deadlines. What the session tells is written down, for the checkers.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from chat.client.session import interface as io
from chat.client.session.session import ClientSession
from chat.protocol.messages import Entry
from sim.cluster.network import Wire
from sim.cluster.world import Call, World

Target = tuple[str, int]
"""Whom something was said to: ("user", id) or ("group", id)."""


@dataclass(slots=True)
class Said:
    """One thing that was said, and what became of it."""

    ref: int
    target: Target
    text: str
    key: str | None = None
    settled: tuple[int, int] | None = None
    """Conversation and seq, once it is known to be stored."""
    failed: str | None = None
    """The error code, if it is known not to be stored; "unknown" if nobody knows."""


class SimDevice:
    """One device of one person. `observe` is called with each effect of the session."""

    def __init__(
        self,
        world: World,
        name: str,
        user: str,
        connect: Callable[["SimDevice", int], None],
        observe: Callable[["SimDevice", io.AnyEffect], None],
    ) -> None:
        self.world = world
        self.name = name
        self.user = user
        self.session = ClientSession(name, world.chance(name).random)
        self.wire: Wire | None = None
        self.link = 0
        self.said: dict[int, Said] = {}
        self.applied: dict[int, list[Entry]] = {}
        self.logged_in = False
        self.away = False
        """Switched off: nothing is dialled, nothing is heard."""
        self.logins = 0
        """How often it was let in."""
        self.own_ends = 0
        """How often it ended its connection and had a reason: it was switched off, or it has to
        resume to catch up with a friend who is back."""
        self.read_by: dict[tuple[int, int], int] = {}
        """By conversation and reader: the highest read mark it was told of."""
        self.befriended_ms: dict[int, int] = {}
        """When it was told last that somebody is a friend now."""
        self._unseen: dict[int, int] = {}
        """What was applied and is to be shown at once, by conversation."""
        self._connect = connect
        self._observe = observe
        self._timer: Call | None = None

    # ------------------------------------------------------------------ the person

    def log_in(self) -> None:
        self.feed(io.LogIn(self.user, f"secret-{self.user}"))

    def say(self, target: Target, text: str) -> None:
        """Says something, unless the device is switched off."""
        if self.away:
            return
        kind, number = target
        ref = len(self.said) + 1
        self.said[ref] = Said(ref, target, text)
        if kind == "user":
            self.feed(io.SendChat(ref, number, text))
        else:
            self.feed(io.SendGroupChat(ref, number, text))

    def ask(self, request: io.Question) -> None:
        self.feed(io.Ask(0, request))

    def switch_off(self) -> None:
        """The device sleeps: its connection is gone, and time passes it by."""
        self.away = True
        self.own_ends += 1
        if self.wire is not None:
            self.wire.reset(client_hears=False)
            self.wire = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def switch_on(self) -> None:
        if self.away:
            self.away = False
            self.feed(io.Disconnected(self.link, "asleep"))

    def set_back(self, chance: random.Random) -> None:
        """The device is restored from a backup, while it is off: its cursors are old ones, and
        what it applied after them is not on it any more."""
        cursors = self.session.cursors
        for conversation, cursor in cursors.all().items():
            back = max(0, cursor - chance.choice((0, 1, chance.randint(1, 40))))
            cursors._cursors[conversation] = back
            run = self.applied.get(conversation, [])
            self.applied[conversation] = [entry for entry in run if entry.seq <= back]

    # ------------------------------------------------------------------ the session

    def feed(self, event: io.AnyEvent) -> None:
        if self.away:
            return
        before: io.AnyEffect | None = None
        for effect in self.session.handle(event, self.world.now_ms):
            if isinstance(effect, io.HangUp) and isinstance(before, io.FriendAdded):
                self.own_ends += 1
            before = effect
            self._carry_out(effect)
        while self._unseen:
            self.feed(io.Shown(*self._unseen.popitem()))
        self._set_timer()

    def connected(self, link: int, wire: Wire) -> None:
        """The balancer has put the device through."""
        if link != self.link or self.away:
            wire.close_by_client()
            return
        self.wire = wire
        wire.down.arrive = lambda data: self._of(wire, io.BytesReceived(link, data))
        wire.client_lost = lambda reason: self._of(wire, io.Disconnected(link, reason))
        self.feed(io.Connected(link))

    def refused(self, link: int, reason: str) -> None:
        if link == self.link:
            self.feed(io.Disconnected(link, reason))

    def _of(self, wire: Wire, event: io.AnyEvent) -> None:
        if self.wire is wire:
            if isinstance(event, io.Disconnected):
                self.wire = None
            self.feed(event)

    def _set_timer(self) -> None:
        """Sees to it that the session is woken when something is due. A timer that is set too
        early stays and is set anew when it is over."""
        due_ms = self.session.next_deadline_ms()
        if due_ms is None or self.away:
            return
        timer = self._timer
        if timer is not None:
            if timer.at_ms <= due_ms:
                return
            timer.cancel()
        self._timer = self.world.later(due_ms - self.world.now_ms, self._wake)

    def _wake(self) -> None:
        self._timer = None
        due_ms = self.session.next_deadline_ms()
        if due_ms is None or due_ms > self.world.now_ms:
            self._set_timer()
        else:
            self.feed(io.Tick())

    def _carry_out(self, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.Transmit):
            if self.wire is not None and effect.connection == self.link:
                self.wire.up.write(effect.data)
        elif isinstance(effect, io.Dial):
            self._hang_up()
            self.link = effect.connection
            self._connect(self, effect.connection)
        elif isinstance(effect, io.HangUp):
            if effect.connection == self.link:
                self._hang_up()
        else:
            self._note(effect)
        self._observe(self, effect)

    def _hang_up(self) -> None:
        if self.wire is not None:
            self.wire.close_by_client()
            self.wire = None

    def _note(self, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.EntryApplied):
            self.applied.setdefault(effect.conversation, []).append(effect.entry)
            self._unseen[effect.conversation] = effect.entry.seq
        elif isinstance(effect, io.SendSettled):
            said = self.said[effect.ref]
            said.key, said.settled = effect.key, (effect.conversation, effect.seq)
        elif isinstance(effect, io.SendFailed):
            said = self.said[effect.ref]
            said.key, said.failed = effect.key, "unknown" if effect.unknown else str(effect.code)
        elif isinstance(effect, io.ReadBy):
            reader = effect.conversation, effect.user
            self.read_by[reader] = max(effect.seq, self.read_by.get(reader, 0))
        elif isinstance(effect, io.FriendAdded):
            self.befriended_ms[effect.friend.id] = self.world.now_ms
        elif isinstance(effect, io.LoggedIn):
            self.logged_in = True
            self.logins += 1
        elif isinstance(effect, io.LoggedOut | io.LoginFailed):
            self.logged_in = False
