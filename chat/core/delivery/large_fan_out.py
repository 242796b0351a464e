"""Large fan-outs are written in parts, so that thousands of writes do not delay other connections.

The connections of a large fan-out wait in a queue of parts, each for one flush of the write
coalescer. While jobs are unanswered there is a pause between two parts: the loop is free to take
the answers, and what they bring about is written first.
"""

from collections import deque


class LargeFanOut:
    """The parts that are still to be written."""

    def __init__(self, *, per_flush: int, pause_ms: int) -> None:
        self._per_flush = per_flush
        self._pause_ms = pause_ms
        self._parts: deque[tuple[int, ...]] = deque()
        self._paused = False

    def __bool__(self) -> bool:
        """Whether parts are left."""
        return bool(self._parts)

    @property
    def is_due(self) -> bool:
        """Whether the next flush takes a part."""
        return bool(self._parts) and not self._paused

    def add(self, connections: tuple[int, ...]) -> None:
        size = self._per_flush
        self._parts.extend(connections[at : at + size] for at in range(0, len(connections), size))

    def take(self) -> tuple[int, ...]:
        """The connections of the next part."""
        return self._parts.popleft()

    def pause(self, unanswered_jobs: int) -> int | None:
        """The pause before the next part, in ms; None if there is none."""
        if not self._parts or not unanswered_jobs:
            return None
        self._paused = True
        return self._pause_ms

    def end_pause(self) -> None:
        self._paused = False
