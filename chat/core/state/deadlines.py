"""What is due when.

A heap of (time, what). Nothing is taken out early: what is called at a deadline checks whether
there is still something to do, and sets the next one. So it costs nothing to put a deadline off
because something has happened, which is the common case.
"""

import heapq
from typing import Generic, TypeVar

What = TypeVar("What")


class Deadlines(Generic[What]):
    """Deadlines in order of time, and of setting where times are equal."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, What]] = []
        self._count = 0

    def set(self, at_ms: int, what: What) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_ms, self._count, what))

    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ms: int) -> What | None:
        """The earliest that is due, or None."""
        if self._heap and self._heap[0][0] <= now_ms:
            return heapq.heappop(self._heap)[2]
        return None

    def __len__(self) -> int:
        return len(self._heap)
