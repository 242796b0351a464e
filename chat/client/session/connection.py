"""The life of the connection: when to dial, how long to wait, when to take it for dead.

    IDLE ──needed──> DIALING ─> GREETING ─> ANONYMOUS ─> AUTHENTICATING ─> ONLINE
     ^                  │           │            │              │            │
     └── not needed ────┴───────────┴─── lost ───┴──────────────┴────────────┘
                                     └── needed ─> WAITING ─> DIALING

In GREETING the connection is made and `welcome` is awaited. A balancer takes a connection before it
has a node for it, and the node may be stopped, so this wait is short.

After a loss the wait before the next Dial is drawn between nothing and a bound (full jitter), so
that the clients that one node lost do not all come back at the same moment. The bound doubles with
every loss. It stays short while the outage is young, since the path is mostly healthy again within
seconds, and grows to a share of the outage after that. The time for a Dial and for `welcome`
doubles as well, with every Dial that fails: where many come back at once, the nodes are slow. All
starts anew after a connection that was online for a while.

After a silence the node is pinged, and the connection is given up if nothing is heard then. While a
reply is awaited that takes seconds only: a node that has not replied within `reply_ping_ms` sends
`ping`, so silence says that it is the node, or the path, that is away. A connection that was given
up for silence was not stable, so on a path that is slow the patience doubles, too.

What the node says about times and limits is obeyed within bounds, which stand in Timing: a node
with a fault, or one that is hostile, neither keeps the client waiting for ever nor has it send
without a pause.
"""

import enum
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chat.protocol.errors import ERRORS
from chat.protocol.messages import ErrorReply, Limits
from chat.protocol.rules import LIMITS


class Timing(Struct, frozen=True):
    """How long a session waits for what, in ms."""

    connect_ms: int = 3_000
    """For a Dial to succeed, at first."""
    welcome_ms: int = 2_000
    """From then on for `welcome`, at first."""
    patience_max_ms: int = 10_000
    """For either, at most."""
    authenticate_ms: int = 15_000
    logout_ms: int = 3_000
    reply_ms: int = 20_000
    """Without any reply for so long, while some are awaited, the connection is given up."""
    ping_ms: int = 20_000
    """Silence before the node is pinged, unless `welcome` says otherwise."""
    pong_ms: int = 10_000
    """Silence after the ping before the connection is given up, at most."""
    transit_ms: int = 1_500
    """What a node's `ping` may take longer than `reply_ping_ms` to be heard."""
    backoff_first_ms: int = 200
    spread_ms: int = 500
    """The bound after a connection that was online, at least: other clients may have lost it, too,
    and all of them dial at once."""
    backoff_max_ms: int = 2_000
    """The bound while the outage is young: up to ten times as long."""
    backoff_limit_ms: int = 10_000
    """The bound for good."""
    stable_ms: int = 5_000
    """A connection that was online for so long resets the backoff."""
    read_mark_ms: int = 500
    """Between two read marks of a conversation, at least."""
    retry_ms: int = 1_000
    """The wait after an error that waiting helps and that does not say how long."""
    min_retry_ms: int = 50
    """The shortest wait after an error, whatever it says."""
    max_retry_ms: int = 300_000
    """The longest wait after an error, whatever it says."""
    max_draining_ms: int = 60_000
    """The longest wait for the next Dial, whatever `draining` or `busy` says."""
    min_silence_ms: int = 1_000
    """The shortest silence before a ping and after it, whatever `welcome` says."""
    max_silence_ms: int = 60_000
    """The longest silence before a ping, whatever `welcome` says."""
    max_in_flight: int = 1_000
    """The most sends in flight, whatever `welcome` says."""

    def retry_in_ms(self, wait_ms: int | None) -> int:
        """The wait after an error that says this."""
        wait_ms = self.retry_ms if wait_ms is None else wait_ms
        return min(max(wait_ms, self.min_retry_ms), self.max_retry_ms)


OUTAGE_SHARE: Final = 10
"""The bound of the backoff is this part of the outage, between its maximum and its limit."""


class Phase(enum.IntEnum):
    """Where the connection is in its life; the order counts (`exists`, `is_open`)."""

    IDLE = 0
    WAITING = 1
    DIALING = 2
    GREETING = 3
    ANONYMOUS = 4
    AUTHENTICATING = 5
    ONLINE = 6


class Due(enum.Enum):
    """What the connection needs now."""

    NOTHING = enum.auto()
    DIAL = enum.auto()
    PING = enum.auto()
    GIVE_UP = enum.auto()


class Connection:
    """`number` is that of the latest Dial; events of another number are of older connections.
    `jitter` gives numbers in [0, 1)."""

    def __init__(self, timing: Timing, jitter: Callable[[], float]) -> None:
        self._timing = timing
        self._jitter = jitter
        self.number = 0
        self.phase = Phase.IDLE
        self._since_ms = 0
        self._dial_at_ms = 0
        self._dial_not_before_ms = 0
        self._heard_at_ms = 0
        self._pinged_at_ms: int | None = None
        self._losses = 0
        """Since the last stable connection. So are the counts of dials and silences."""
        self._failed_dials = 0
        """Losses before the connection was online."""
        self._silences = 0
        """Losses for silence while it was online."""
        self._spread_ms = 0
        self._lost_at_ms = 0
        """When the first of the losses was."""
        self._ping_ms = timing.ping_ms
        self._pong_ms = timing.pong_ms
        self._silence_ms: int | None = None
        """Silence that says, while a reply is awaited, that the node is away."""
        self.login_line_bytes = LIMITS.login_line_bytes
        self.max_in_flight = LIMITS.in_flight

    @property
    def exists(self) -> bool:
        """There is a connection, or one is being dialled."""
        return self.phase >= Phase.DIALING

    @property
    def is_open(self) -> bool:
        """Bytes may come and go."""
        return self.phase >= Phase.GREETING

    def is_current(self, number: int) -> bool:
        return self.exists and number == self.number

    # ------------------------------------------------------------------ transitions

    def enter(self, phase: Phase, now_ms: int) -> None:
        self.phase = phase
        self._since_ms = now_ms

    def dial(self, now_ms: int) -> int:
        """The number of the new connection."""
        self.number += 1
        self.enter(Phase.DIALING, now_ms)
        return self.number

    def welcomed(self, limits: Limits, now_ms: int) -> None:
        """The node has said `welcome`; its own limits hold from here on, within bounds."""
        timing, least_ms = self._timing, self._timing.min_silence_ms
        self._ping_ms = min(max(limits.ping_ms, least_ms), timing.max_silence_ms)
        self._pong_ms = max(min(timing.pong_ms, limits.dead_ms - limits.ping_ms), least_ms)
        self._silence_ms = None
        if limits.reply_ping_ms:
            silence_ms = min(limits.reply_ping_ms, timing.max_silence_ms) + timing.transit_ms
            self._silence_ms = self._patient(silence_ms, self._silences)
        self.login_line_bytes = limits.login_line_bytes
        self.max_in_flight = min(max(limits.in_flight, 1), timing.max_in_flight)
        self._dial_not_before_ms = 0
        self.enter(Phase.ANONYMOUS, now_ms)

    def wait(self, retry_after_ms: int, now_ms: int) -> None:
        """The node is about to stop, or takes no connection; the next Dial has to wait."""
        self._dial_not_before_ms = now_ms + min(retry_after_ms, self._timing.max_draining_ms)

    def heard(self, now_ms: int) -> None:
        """Bytes came from the node."""
        self._heard_at_ms = now_ms
        self._pinged_at_ms = None

    def pinged(self, now_ms: int) -> None:
        """The node was sent a ping."""
        self._pinged_at_ms = now_ms

    def close(self, now_ms: int) -> None:
        """The connection is gone and no other one is needed."""
        self.enter(Phase.IDLE, now_ms)
        self._losses = self._failed_dials = self._silences = 0
        self._spread_ms = 0
        self._pinged_at_ms = None

    def lose(self, now_ms: int, *, silent: bool = False) -> int:
        """The connection is gone, or the Dial failed, and another one is needed. `silent`: it was
        given up, since nothing was heard. How long to wait for the next Dial, in ms."""
        timing = self._timing
        online_ms = now_ms - self._since_ms if self.phase is Phase.ONLINE else 0
        if online_ms >= timing.stable_ms and not silent:
            self._losses = self._failed_dials = self._silences = 0
        if not self._losses or online_ms >= timing.stable_ms:
            self._lost_at_ms = now_ms
        if self.phase is Phase.ONLINE:
            self._spread_ms = timing.spread_ms
            self._silences += silent
        else:
            self._failed_dials += 1
        share_ms = min((now_ms - self._lost_at_ms) // OUTAGE_SHARE, timing.backoff_limit_ms)
        bound_ms = max(timing.backoff_first_ms << min(self._losses, 16), self._spread_ms)
        bound_ms = min(bound_ms, max(timing.backoff_max_ms, share_ms))
        wait_ms = int(self._jitter() * bound_ms)
        self._losses += 1
        self._pinged_at_ms = None
        self._dial_at_ms = max(now_ms, self._dial_not_before_ms) + wait_ms
        self.enter(Phase.WAITING, now_ms)
        return self._dial_at_ms - now_ms

    def _patient(self, first_ms: int, failures: int) -> int:
        """Doubled with each failure."""
        return min(first_ms << min(failures, 16), max(first_ms, self._timing.patience_max_ms))

    # ------------------------------------------------------------------ what is due

    def reply_overdue_at_ms(self, awaited_since_ms: int | None) -> int | None:
        """When the node is taken for gone, if replies have been awaited since that time and none
        has come; None if none is awaited."""
        if awaited_since_ms is None:
            return None
        overdue_at_ms = awaited_since_ms + self._timing.reply_ms
        if self._silence_ms is None:
            return overdue_at_ms
        silent_since_ms = max(awaited_since_ms, self._heard_at_ms)
        return min(overdue_at_ms, silent_since_ms + self._silence_ms)

    def retry_at_ms(self, error: ErrorReply, now_ms: int) -> int | None:
        """When to send the request that was refused again; None if waiting does not help."""
        if error.retry_after_ms is None and not ERRORS[error.code].retry:
            return None
        return now_ms + self._timing.retry_in_ms(error.retry_after_ms)

    def due(self, now_ms: int) -> Due:
        deadline_ms = self.next_deadline_ms()
        if deadline_ms is None or now_ms < deadline_ms:
            return Due.NOTHING
        if self.phase is Phase.WAITING:
            return Due.DIAL
        if self.phase is Phase.ONLINE and self._pinged_at_ms is None:
            return Due.PING
        return Due.GIVE_UP

    def next_deadline_ms(self) -> int | None:
        phase = self.phase
        if phase is Phase.ONLINE:
            if self._pinged_at_ms is None:
                return self._heard_at_ms + self._ping_ms
            return self._pinged_at_ms + self._pong_ms
        if phase is Phase.WAITING:
            return self._dial_at_ms
        if phase is Phase.AUTHENTICATING:
            return self._since_ms + self._timing.authenticate_ms
        if phase is Phase.DIALING:
            return self._since_ms + self._patient(self._timing.connect_ms, self._failed_dials)
        if phase is Phase.GREETING:
            return self._since_ms + self._patient(self._timing.welcome_ms, self._failed_dials)
        return None
