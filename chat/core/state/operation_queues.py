"""Operation queues: what the node asks of its store and its password hasher, a few at a time.

Theory of operation
-------------------

A store answers one write after the other, and whatever has been handed to it is in its order for
good. So the node hands out only as much as keeps the store at work, and keeps the rest, in a fair
queue for each kind of operation. A payer is a user, or the address of a connection that is not
logged in; so a flood waits behind itself, and the next operation of any other payer comes after one
of each.

The kinds, and how many of each are under way at most:

- Appends: two full transactions of them, since appends share one.
- Other writes: few, since each is a transaction by itself and appends that come meanwhile wait for
  those that have been handed out.
- Reads: twice what the store reads together.
- Pages of history: few, since each is many rows.
- Accounts for a login: few, and so the reads of a resume never wait behind many of them.
- Passwords: as many as the hasher has threads. An address has a budget of them. What is over it
  waits for the budget, and is not refused; else one address could keep its neighbours out.

Pages of logs that connections are fed with have their own limit: chat/core/delivery/catch_up.py.
Presence is asked of the bus, which answers all at once.

Invariant: something waits only if as much as may be is under way, or its payers are over their
budgets. So an operation is handed out at once if nothing of its kind waits and there is room.
"""

from typing import Any, Final, TypeAlias, get_args

from msgspec import Struct

from chat.core.ports.operations import (
    AnyOperation,
    Append,
    FindAccount,
    FindDevice,
    Operation,
    PasswordOperation,
    ReadHeads,
    ReadHistory,
    ReadLog,
    ReadMembers,
    ReadProfile,
    ReadRoster,
    StoreOperation,
)
from chat.core.state.config import NodeConfig
from chat.core.state.fair_queue import FairQueue
from chat.core.state.rate_limiter import RateLimiter
from chat.core.state.session import Session

_READS: Final = (ReadRoster, ReadProfile, ReadHeads, ReadMembers, FindDevice)

Payer: TypeAlias = int | str
"""A user's number, or an address; 0 is the node itself."""


class UnderWayLimits(Struct, frozen=True, gc=False):
    """How many operations of each kind are under way at most. A reply of more than `large_rows`
    rows waits for its turn, and `rows_per_ms` is the pace of those."""

    appends: int = 512
    writes: int = 1
    reads: int = 64
    history: int = 1
    accounts: int = 8
    large_rows: int = 50
    rows_per_ms: int = 50


UNDER_WAY_LIMITS: Final = UnderWayLimits()


class WaitingOperation(Struct, frozen=True, gc=False):
    """An operation that is still to be handed out."""

    ticket: int
    operation: AnyOperation
    asker: Session | None


class OperationQueue:
    """Operations of one kind, of which at most `limit` are under way: handed out and not answered.

    `room` is how many more may go out at once. It is counted down by each operation that is asked
    for and up by each answer, and so it is below 1 as long as something waits.
    """

    __slots__ = ("_limit", "_room_at_first", "room", "waiting")

    def __init__(self, limit: int, room: int | None = None) -> None:
        self._limit = limit
        self._room_at_first = self.room = limit if room is None else room
        self.waiting: FairQueue[Payer, WaitingOperation] = FairQueue()

    @property
    def under_way(self) -> int:
        return self._room_at_first - self.room - len(self.waiting)

    def put(self, payer: Payer, waiting: WaitingOperation, now_ms: int) -> None:
        """The operation waits."""
        self.room -= 1
        self.waiting.put(payer, waiting)

    def take(self, now_ms: int) -> WaitingOperation | None:
        """The next operation to be handed out, if there is one; it counts as under way then."""
        if self.waiting.turns and self.under_way < self._limit:
            return self.waiting.take()
        return None


class PasswordQueue(OperationQueue):
    """Passwords, each address within its budget. `not_before_ms`: until then all that wait are over
    their budgets. Each one passes through the queue, which has no room at first."""

    __slots__ = ("_limiter", "due_ms", "not_before_ms")

    def __init__(self, limit: int, limiter: RateLimiter[Payer]) -> None:
        super().__init__(limit, room=0)
        self._limiter = limiter
        self.not_before_ms = 0
        self.due_ms = 0
        """The deadline that was set last."""

    def put(self, payer: Payer, waiting: WaitingOperation, now_ms: int) -> None:
        super().put(payer, waiting, now_ms)
        wait_ms = self._limiter.wait_ms(payer, now_ms)
        self.not_before_ms = min(self.not_before_ms, now_ms + wait_ms)

    def take(self, now_ms: int) -> WaitingOperation | None:
        if now_ms < self.not_before_ms or self.under_way >= self._limit:
            return None
        waits_ms: list[int] = []
        for _ in range(len(self.waiting.turns)):
            payer = self.waiting.next_payer()
            if self._limiter.take(payer, now_ms):
                return self.waiting.take()
            waits_ms.append(self._limiter.wait_ms(payer, now_ms))
            self.waiting.pass_over()
        if waits_ms:
            self.not_before_ms = now_ms + min(waits_ms)
        return None

    def withdraw(self, session: Session) -> WaitingOperation | None:
        """Takes out what the session waits for, if it has not been handed out."""
        found = self.waiting.remove(payer_of(session), lambda waiting: waiting.asker is session)
        if found is not None:
            self.room += 1
        return found


def payer_of(session: Session | None) -> Payer:
    """The user, or the address before login; 0 for what the node asks by itself."""
    if session is None:
        return 0
    return session.address if session.user is None else session.user.id


class OperationQueues:
    """The queues of one node."""

    def __init__(self, config: NodeConfig, limits: UnderWayLimits) -> None:
        appends, writes = OperationQueue(limits.appends), OperationQueue(limits.writes)
        reads = OperationQueue(limits.reads)
        self.passwords = PasswordQueue(
            config.password_hashes,
            RateLimiter(per_second=config.logins_per_second, burst=config.login_burst),
        )
        self.by_type: dict[type[Operation[Any]], OperationQueue] = {
            **dict.fromkeys(get_args(StoreOperation), writes),
            **dict.fromkeys(_READS, reads),
            **dict.fromkeys(get_args(PasswordOperation), self.passwords),
            Append: appends,
            ReadHistory: OperationQueue(limits.history),
            FindAccount: OperationQueue(limits.accounts),
        }
        del self.by_type[ReadLog]

    def __len__(self) -> int:
        """How many operations wait."""
        return sum(len(queue.waiting) for queue in set(self.by_type.values()))
