"""The life of the connection: when to dial, how long to wait, when to think it dead.

    IDLE ──wanted──> DIALING ─> GREETING ─> ANONYMOUS ─> ENTERING ─> ONLINE
     ^                  │           │            │           │          │
     └── not wanted ────┴───────────┴── lost ────┴───────────┴──────────┘
                                     └─ wanted ─> WAITING ─> DIALING

After a loss the wait is drawn between nothing and a bound that doubles with every loss (full
jitter), so that those whom one node lost do not come back all at once. The bound starts anew after
a connection that was online for a while. Silence is looked into with a ping, and ended if nothing
is heard then.
"""

import enum
from collections.abc import Callable

from msgspec import Struct

from chat.protocol.messages import Limits


class Timing(Struct, frozen=True):
    """How long a session waits for what, in ms."""

    connect_ms: int = 10_000
    enter_ms: int = 15_000
    leave_ms: int = 3_000
    reply_ms: int = 20_000
    """Without any reply to what was asked, the connection is given up."""
    ping_ms: int = 20_000
    pong_ms: int = 10_000
    backoff_first_ms: int = 200
    backoff_most_ms: int = 10_000
    stable_ms: int = 5_000
    """Online for so long, a connection counts as good."""
    mark_ms: int = 500
    retry_ms: int = 1_000
    """The wait where an error helps by waiting but does not say how long."""


class Phase(enum.IntEnum):
    IDLE = 0
    WAITING = 1
    DIALING = 2
    GREETING = 3
    ANONYMOUS = 4
    ENTERING = 5
    ONLINE = 6


class Due(enum.Enum):
    NOTHING = enum.auto()
    DIAL = enum.auto()
    PING = enum.auto()
    GIVE_UP = enum.auto()


class Connection:
    """`number` is that of the latest Dial; what is said of another one is old."""

    def __init__(self, timing: Timing, jitter: Callable[[], float]) -> None:
        self._timing = timing
        self._jitter = jitter
        self.number = 0
        self.phase = Phase.IDLE
        self._since_ms = 0
        self._dial_at_ms = 0
        self._heard_at_ms = 0
        self._pinged_at_ms: int | None = None
        self._losses = 0
        self._ping_ms = timing.ping_ms
        self._pong_ms = timing.pong_ms

    @property
    def up(self) -> bool:
        """Bytes may come and go."""
        return self.phase >= Phase.GREETING

    def is_current(self, number: int) -> bool:
        return number == self.number and self.phase >= Phase.DIALING

    def enter(self, phase: Phase, now_ms: int) -> None:
        self.phase = phase
        self._since_ms = now_ms

    def dial(self, now_ms: int) -> int:
        self.number += 1
        self.enter(Phase.DIALING, now_ms)
        return self.number

    def learn(self, limits: Limits) -> None:
        """The node's own limits on silence."""
        self._ping_ms = max(limits.ping_ms, 100)
        self._pong_ms = max(min(self._timing.pong_ms, limits.dead_ms - limits.ping_ms), 100)

    def heard(self, now_ms: int) -> None:
        self._heard_at_ms = now_ms
        self._pinged_at_ms = None

    def pinged(self, now_ms: int) -> None:
        self._pinged_at_ms = now_ms

    def close(self, now_ms: int) -> None:
        """It is gone and nobody needs another one."""
        self.enter(Phase.IDLE, now_ms)
        self._losses = 0
        self._pinged_at_ms = None

    def lose(self, now_ms: int, not_before_ms: int) -> int:
        """It is gone, or could not be had, and another one is needed. How long to wait, in ms."""
        if self.phase is Phase.ONLINE and now_ms - self._since_ms >= self._timing.stable_ms:
            self._losses = 0
        bound_ms = self._timing.backoff_first_ms << min(self._losses, 16)
        wait_ms = int(self._jitter() * min(bound_ms, self._timing.backoff_most_ms))
        self._losses += 1
        self._pinged_at_ms = None
        self._dial_at_ms = max(now_ms, not_before_ms) + wait_ms
        self.enter(Phase.WAITING, now_ms)
        return self._dial_at_ms - now_ms

    # ------------------------------------------------------------------ what is due

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
        if phase is Phase.ENTERING:
            return self._since_ms + self._timing.enter_ms
        if phase in (Phase.DIALING, Phase.GREETING):
            return self._since_ms + self._timing.connect_ms
        return None
