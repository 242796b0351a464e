"""Rate limits: token buckets by key, such as a user's number.

A bucket holds at most `burst` permits and fills evenly at `per_second`. It is kept as one number,
the time at which it will be full again. A permit that is taken puts that time off by 1 /
`per_second`. There is a permit as long as the bucket will be full within (`burst` - 1) /
`per_second`. (This is the generic cell rate algorithm of ATM, ITU-T I.371, which is equivalent to a
token bucket.) A full bucket needs no entry. Full ones are dropped whenever the table has doubled,
so memory follows the keys that are active.
"""

from collections.abc import Hashable
from math import ceil
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class RateLimiter(Generic[Key]):
    """One bucket for each key, full at first. `now_ms` never goes back."""

    __slots__ = ("_forget_at", "_full_at_ms", "_permit_ms", "_slack_ms")

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._permit_ms = 1000 / per_second
        self._slack_ms = (burst - 1) * self._permit_ms
        self._full_at_ms: dict[Key, float] = {}
        self._forget_at = 1024

    def take(self, key: Key, now_ms: int) -> bool:
        """Takes a permit if there is one."""
        full_at_ms = self._full_at_ms.get(key, 0.0)
        if full_at_ms < now_ms:
            full_at_ms = now_ms
        elif full_at_ms - now_ms > self._slack_ms:
            return False
        self._full_at_ms[key] = full_at_ms + self._permit_ms
        if len(self._full_at_ms) > self._forget_at:
            self._forget(now_ms)
        return True

    def ready(self, key: Key, now_ms: int) -> bool:
        """Whether there is a permit; it is left where it is."""
        return self._full_at_ms.get(key, 0.0) - now_ms <= self._slack_ms

    def wait_ms(self, key: Key, now_ms: int) -> int:
        """How long until there is a permit; 0 if there is one."""
        return max(0, ceil(self._full_at_ms.get(key, 0.0) - now_ms - self._slack_ms))

    def _forget(self, now_ms: int) -> None:
        full = [key for key, at_ms in self._full_at_ms.items() if at_ms <= now_ms]
        for key in full:
            del self._full_at_ms[key]
        self._forget_at = max(1024, 2 * len(self._full_at_ms))
