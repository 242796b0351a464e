"""How often somebody may do something: token buckets, by whom.

A bucket holds at most `burst` permits and fills evenly at `per_second`. Full buckets say nothing,
so they are forgotten whenever the table has doubled; memory follows those who are active.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

Who = TypeVar("Who", bound=Hashable)


class RateLimiter(Generic[Who]):
    """One bucket for each `who`, full at first."""

    __slots__ = ("_buckets", "_burst", "_forget_at", "_per_ms")

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_ms = per_second / 1000
        self._burst = float(burst)
        self._buckets: dict[Who, tuple[float, int]] = {}
        self._forget_at = 1024

    def take(self, who: Who, now_ms: int) -> bool:
        """Takes a permit if there is one."""
        permits = self._permits(who, now_ms)
        if permits < 1:
            return False
        self._buckets[who] = (permits - 1, now_ms)
        if len(self._buckets) > self._forget_at:
            self._forget(now_ms)
        return True

    def ready(self, who: Who, now_ms: int) -> bool:
        """Whether there is a permit; it is left where it is."""
        return self._permits(who, now_ms) >= 1

    def wait_ms(self, who: Who, now_ms: int) -> int:
        """How long until there is a permit; 0 if there is one."""
        missing = 1 - self._permits(who, now_ms)
        return 0 if missing <= 0 else int(missing / self._per_ms) + 1

    def _permits(self, who: Who, now_ms: int) -> float:
        bucket = self._buckets.get(who)
        if bucket is None:
            return self._burst
        permits, at_ms = bucket
        return min(self._burst, permits + max(0, now_ms - at_ms) * self._per_ms)

    def _forget(self, now_ms: int) -> None:
        full = [who for who in self._buckets if self._permits(who, now_ms) >= self._burst]
        for who in full:
            del self._buckets[who]
        self._forget_at = max(1024, 2 * len(self._buckets))
