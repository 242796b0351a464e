"""A simulated device: the real client session of one user, and a record of its effects.

It does what the client's adapter does, on the world's clock: connects through the balancer, carries
bytes, waits for deadlines. It keeps what the session reports, for the checkers.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import effects, events, notices
from chat.client.session.ports.requests import QueuedRequest
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Entry
from sim.cluster.network import SimConnection
from sim.cluster.world import ScheduledCall, World

LOGIN_AGAIN_MS = 2_000
"""How long a user waits before another login after one that came too soon."""
Target = tuple[str, int]
"""The recipient of a text: ("user", id) or ("group", id)."""


@dataclass(slots=True)
class SentText:
    """One text that a device was told to send, and its outcome."""

    ref: int
    target: Target
    text: str
    key: str | None = None
    settled: tuple[int, int] | None = None
    """Conversation and seq, once the device knows that it is stored."""
    failed: str | None = None
    """The error code, if the device knows that it is not stored; "unknown" if it cannot know."""


class SimDevice:
    """One device of one user. `observe` is called with each effect of the session."""

    def __init__(
        self,
        world: World,
        name: str,
        user: str,
        connect: Callable[["SimDevice", int], None],
        observe: Callable[["SimDevice", effects.AnyEffect], None],
    ) -> None:
        self.world = world
        self.name = name
        self.user = user
        self.session = ClientSession(name, world.random_stream(name).random)
        self.connection: SimConnection | None = None
        self.connection_number = 0
        """The session's number of the connection; it grows with each attempt to connect."""
        self.sent_texts: dict[int, SentText] = {}
        self.applied: dict[int, list[Entry]] = {}
        self.logged_in = False
        self.switched_off = False
        """It neither connects nor receives, and its session gets no events."""
        self.logins = 0
        """How often it has logged in or resumed."""
        self.own_disconnects = 0
        """How often it ended its connection for a good reason: it was switched off, or it has to
        resume to catch up in the conversation with a friend who was added again."""
        self.read_by: dict[tuple[int, int], int] = {}
        """By conversation and reader: the highest read mark it has received."""
        self.befriended_ms: dict[int, int] = {}
        """By user: when it was last told of the friendship."""
        self._not_shown: dict[int, int] = {}
        """By conversation: the seq that was applied and is to be reported as shown."""
        self._connect = connect
        self._observe = observe
        self._timer: ScheduledCall | None = None

    # ------------------------------------------------------------------ the user

    def log_in(self) -> None:
        self.feed(events.LogIn(self.user, f"secret-{self.user}"))

    def _log_in_again(self) -> None:
        """As a user would after a refused login. A device that is switched off tries later."""
        if self.switched_off:
            self.world.later(LOGIN_AGAIN_MS, self._log_in_again)
        else:
            self.log_in()

    def send_text(self, target: Target, text: str) -> None:
        """Sends a text, unless the device is switched off."""
        if self.switched_off:
            return
        kind, number = target
        ref = len(self.sent_texts) + 1
        self.sent_texts[ref] = SentText(ref, target, text)
        if kind == "user":
            self.feed(events.SendChat(ref, number, text))
        else:
            self.feed(events.SendGroupChat(ref, number, text))

    def ask(self, request: QueuedRequest) -> None:
        self.feed(events.SubmitRequest(0, request))

    def switch_off(self) -> None:
        """Ends the connection and stops the session's clock, like a device that sleeps."""
        self.switched_off = True
        self.own_disconnects += 1
        if self.connection is not None:
            self.connection.reset(client_hears=False)
            self.connection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def switch_on(self) -> None:
        if self.switched_off:
            self.switched_off = False
            self.feed(events.Disconnected(self.connection_number, "asleep"))

    def roll_back(self, rng: random.Random) -> None:
        """Restores the switched-off device from a backup: with older cursors, and without the
        entries that it applied after them."""
        cursors = self.session.cursors
        for conversation, cursor in cursors.all().items():
            back = max(0, cursor - rng.choice((0, 1, rng.randint(1, 40))))
            cursors.roll_back(conversation, back)
            run = self.applied.get(conversation, [])
            self.applied[conversation] = [entry for entry in run if entry.seq <= back]

    # ------------------------------------------------------------------ the session

    def feed(self, event: events.AnyEvent) -> None:
        if self.switched_off:
            return
        before: effects.AnyEffect | None = None
        for effect in self.session.handle(event, self.world.now_ms):
            if isinstance(effect, effects.HangUp) and isinstance(before, notices.FriendAdded):
                self.own_disconnects += 1
            before = effect
            self._carry_out(effect)
        while self._not_shown:
            self.feed(events.MarkRead(*self._not_shown.popitem()))
        self._set_timer()

    def connected(self, number: int, conn: SimConnection) -> None:
        """The balancer has connected the device to a node."""
        if number != self.connection_number or self.switched_off:
            conn.close_by_client()
            return
        self.connection = conn
        conn.down.arrive = lambda data: self._of(conn, events.BytesReceived(number, data))
        conn.client_lost = lambda reason: self._of(conn, events.Disconnected(number, reason))
        self.feed(events.Connected(number))

    def refused(self, number: int, reason: str) -> None:
        if number == self.connection_number:
            self.feed(events.Disconnected(number, reason))

    def _of(self, conn: SimConnection, event: events.AnyEvent) -> None:
        if self.connection is conn:
            if isinstance(event, events.Disconnected):
                self.connection = None
            self.feed(event)

    def _set_timer(self) -> None:
        """Schedules a Tick for the session's next deadline. A timer that fires too early stays and
        is set again when it fires."""
        due_ms = self.session.next_deadline_ms()
        if due_ms is None or self.switched_off:
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
            self.feed(events.Tick())

    def _carry_out(self, effect: effects.AnyEffect) -> None:
        if isinstance(effect, effects.Transmit):
            if self.connection is not None and effect.connection == self.connection_number:
                self.connection.up.write(effect.data)
        elif isinstance(effect, effects.Dial):
            self._hang_up()
            self.connection_number = effect.connection
            self._connect(self, effect.connection)
        elif isinstance(effect, effects.HangUp):
            if effect.connection == self.connection_number:
                self._hang_up()
        else:
            self._note(effect)
        self._observe(self, effect)

    def _hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close_by_client()
            self.connection = None

    def _note(self, effect: effects.AnyEffect) -> None:
        if isinstance(effect, notices.EntryApplied):
            self.applied.setdefault(effect.conversation, []).append(effect.entry)
            self._not_shown[effect.conversation] = effect.entry.seq
        elif isinstance(effect, notices.SendSettled):
            text = self.sent_texts[effect.ref]
            text.key, text.settled = effect.key, (effect.conversation, effect.seq)
        elif isinstance(effect, notices.SendFailed):
            text = self.sent_texts[effect.ref]
            text.key, text.failed = effect.key, "unknown" if effect.unknown else str(effect.code)
        elif isinstance(effect, notices.ReadBy):
            reader = effect.conversation, effect.user
            self.read_by[reader] = max(effect.seq, self.read_by.get(reader, 0))
        elif isinstance(effect, notices.FriendAdded):
            self.befriended_ms[effect.friend.id] = self.world.now_ms
        elif isinstance(effect, notices.LoggedIn):
            self.logged_in = True
            self.logins += 1
        elif isinstance(effect, notices.LoggedOut | notices.LoginFailed):
            self.logged_in = False
            if isinstance(effect, notices.LoginFailed) and effect.code is ErrorCode.RATE_LIMITED:
                self.world.later(LOGIN_AGAIN_MS, self._log_in_again)
