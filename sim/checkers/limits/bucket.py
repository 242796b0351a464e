"""A token bucket in exact numbers, and the judgement of what was taken from it in one event.

Within an event the order of what one connection does is known; that of two connections is not. So
uses by one connection are judged one after the other, and uses by several against the lowest and
the highest level that some order gives.
"""

from enum import Enum, auto
from typing import NamedTuple

PARTS = 60_000
"""The ms of a minute."""
WAIT_TOLERANCE_MS = 1
"""A wait is told in whole ms."""


class Kind(Enum):
    TAKEN = auto()
    """It was granted, so the bucket must have had it."""
    CHARGED = auto()
    """Its cost was known afterwards; the bucket may be in debt."""
    TESTED = auto()
    """It was granted and costs nothing, but the bucket must have had it."""
    REFUSED = auto()
    """It was refused, so the bucket must not have had it."""


class Use(NamedTuple):
    """`wait_ms` is the wait that a refusal named."""

    kind: Kind
    cost: int = 1
    wait_ms: int | None = None


class Fault(NamedTuple):
    """`over`: more than the budget was granted; else something within it was refused."""

    over: bool
    seen: str


class Bucket:
    """It holds at most `burst`, and gets `per_minute` every minute. `level` is what it holds, in
    parts of which `PARTS` are one; so it gets a whole number of them every ms."""

    __slots__ = ("at_ms", "burst", "level", "per_minute")

    def __init__(self, per_minute: int, burst: int, now_ms: int) -> None:
        self.per_minute = per_minute
        self.burst = burst
        self.level = burst * PARTS
        self.at_ms = now_ms

    def move_to(self, now_ms: int) -> None:
        """Time passes. It never goes back."""
        if now_ms > self.at_ms:
            grown = self.level + self.per_minute * (now_ms - self.at_ms)
            self.level = min(self.burst * PARTS, grown)
            self.at_ms = now_ms

    def wait_ms(self, cost: int, level: int) -> int:
        """How long until the bucket has that much, from that level on."""
        return -((level - min(cost, self.burst) * PARTS) // self.per_minute)

    def ready_ms(self, cost: int = 1) -> int:
        """The first time at which the bucket has that much."""
        return self.at_ms + max(0, self.wait_ms(cost, self.level))

    def refusal_fault(self, use: Use, low: int, high: int) -> str | None:
        """What is wrong with a refusal, if the level was between the two."""
        if low >= self._parts(use):
            return f"the bucket had {low / PARTS:g} and {use.cost} was asked for"
        least, most = max(1, self.wait_ms(use.cost, high)), self.wait_ms(use.cost, low)
        if use.wait_ms is None:
            return "no wait was told"
        if not least - WAIT_TOLERANCE_MS <= use.wait_ms <= most + WAIT_TOLERANCE_MS:
            return f"it was told to wait {use.wait_ms} ms, not {least} to {most}"
        return None

    def judge(self, sequences: list[list[Use]]) -> Fault | None:
        """Takes the uses of one event, in a list for each connection; the first fault."""
        if len(sequences) == 1:
            return self._judge_in_order(sequences[0])
        uses = [use for sequence in sequences for use in sequence]
        taken = sum(self._parts(use) for use in uses if use.kind is Kind.TAKEN)
        charged = sum(use.cost * PARTS for use in uses if use.kind is Kind.CHARGED)
        high, low = self.level, self.level - taken - charged
        self.level = low
        if taken and taken > high:
            return Fault(True, f"the bucket had {high / PARTS:g}, {taken / PARTS:g} was granted")
        for use in uses:
            if use.kind is Kind.TESTED and high < self._parts(use):
                return Fault(True, f"the bucket had {high / PARTS:g}")
            wrong = self.refusal_fault(use, low, high) if use.kind is Kind.REFUSED else None
            if wrong is not None:
                return Fault(False, wrong)
        return None

    def _judge_in_order(self, uses: list[Use]) -> Fault | None:
        for use in uses:
            level = self.level
            if use.kind is Kind.REFUSED:
                wrong = self.refusal_fault(use, level, level)
                if wrong is not None:
                    return Fault(False, wrong)
                continue
            if use.kind is not Kind.CHARGED and level < self._parts(use):
                return Fault(True, f"the bucket had {level / PARTS:g}, {use.cost} was granted")
            if use.kind is Kind.CHARGED:
                self.level -= use.cost * PARTS
            elif use.kind is Kind.TAKEN:
                self.level -= self._parts(use)
        return None

    def _parts(self, use: Use) -> int:
        """What costs more than the burst is had for the burst, or it could never be had."""
        return min(use.cost, self.burst) * PARTS
