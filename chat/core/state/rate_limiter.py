"""Rate limits: token buckets by key, such as a user's number.

A bucket holds at most `burst` permits and fills evenly at `per_second`. It is kept as one number,
the time at which it will be full again. What costs `cost` permits puts that time off by `cost` /
`per_second`. There are that many permits as long as the bucket will be full within (`burst` -
`cost`) / `per_second`. (This is the generic cell rate algorithm of ATM, ITU-T I.371, which is
equivalent to a token bucket.) A full bucket needs no entry. Full ones are dropped whenever the
table has doubled, so memory follows the keys that are active.
"""

from collections.abc import Hashable
from math import ceil
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class RateLimiter(Generic[Key]):
    """One bucket for each key, full at first. `now_ms` never goes back. What costs more than
    `burst` is treated as if it cost `burst`, or it could never be had."""

    __slots__ = ("_burst", "_forget_at", "_full_at_ms", "_permit_ms", "_slack_ms")

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._permit_ms = 1000 / per_second
        self._burst = burst
        self._slack_ms = (burst - 1) * self._permit_ms
        self._full_at_ms: dict[Key, float] = {}
        self._forget_at = 1024

    def take(self, key: Key, now_ms: int, cost: int = 1) -> bool:
        """Takes the permits if there are that many. (One permit is the hot path.)"""
        full_at_ms = self._full_at_ms.get(key, 0.0)
        if full_at_ms < now_ms:
            full_at_ms = now_ms
        elif full_at_ms - now_ms > (self._slack_ms if cost == 1 else self._slack(cost)):
            return False
        full_at_ms += self._permit_ms if cost == 1 else min(cost, self._burst) * self._permit_ms
        self._full_at_ms[key] = full_at_ms
        if len(self._full_at_ms) > self._forget_at:
            self._forget(now_ms)
        return True

    def charge(self, key: Key, now_ms: int, cost: int) -> None:
        """Takes permits whether or not there are that many; the bucket may be in debt then. That
        is for a cost which is known only afterwards."""
        self._full_at_ms[key] = max(self._full_at_ms.get(key, 0.0), now_ms) + cost * self._permit_ms
        if len(self._full_at_ms) > self._forget_at:
            self._forget(now_ms)

    def ready(self, key: Key, now_ms: int, cost: int = 1) -> bool:
        """Whether there are that many permits; they are left where they are."""
        slack_ms = self._slack_ms if cost == 1 else self._slack(cost)
        return self._full_at_ms.get(key, 0.0) - now_ms <= slack_ms

    def wait_ms(self, key: Key, now_ms: int, cost: int = 1) -> int:
        """How long until there are that many permits; 0 if there are."""
        return max(0, ceil(self._full_at_ms.get(key, 0.0) - now_ms - self._slack(cost)))

    def _slack(self, cost: int) -> float:
        return (self._burst - min(cost, self._burst)) * self._permit_ms

    def _forget(self, now_ms: int) -> None:
        full = [key for key, at_ms in self._full_at_ms.items() if at_ms <= now_ms]
        for key in full:
            del self._full_at_ms[key]
        self._forget_at = max(1024, 2 * len(self._full_at_ms))
