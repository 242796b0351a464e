"""The world: a virtual clock that only this module moves, and a queue of scheduled calls.

Everything that happens in a simulated cluster is a call that was scheduled for a time. Calls of the
same time run in the order in which they were scheduled. All random numbers come from named streams,
one for each part that draws, seeded by the run's seed and the stream's name. So the draws of one
part do not depend on those of another, and a seed gives one history.

The names of streams are part of that history: a stream that is renamed draws other numbers, and
every seed becomes another run.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

P = ParamSpec("P")

START_MS = 1_700_000_000_000
"""Simulated time begins here, in ms since 1970."""


class RandomStream(random.Random):
    """A stream of random numbers; its `randint` takes a third of the library's time."""

    def randint(self, a: int, b: int) -> int:
        return a + int(self.random() * (b - a + 1))


class ScheduledCall:
    """A scheduled call. A cancelled one is skipped."""

    __slots__ = ("action", "args", "at_ms", "cancelled")

    def __init__(self, at_ms: int, action: Callable[..., None], args: tuple[object, ...]) -> None:
        self.at_ms = at_ms
        self.action = action
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """The clock and the random streams of one simulated run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ms = START_MS
        self.events = 0
        """Calls that have run."""
        self._queue: list[tuple[int, int, ScheduledCall]] = []
        self._order = 0
        self._streams: dict[str, RandomStream] = {}

    def random_stream(self, name: str) -> RandomStream:
        """The stream of random numbers of that name."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = RandomStream(f"{self.seed}/{name}")
        return stream

    def later(
        self, delay_ms: int, action: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> ScheduledCall:
        """Schedules the action. With 0 it runs at the present time, after the call in hand."""
        self._order += 1
        at_ms = self.now_ms + delay_ms if delay_ms > 0 else self.now_ms
        call = ScheduledCall(at_ms, partial(action, **kwargs) if kwargs else action, args)
        heapq.heappush(self._queue, (at_ms, self._order, call))
        return call

    def run_until(self, end_ms: int) -> None:
        """Runs all calls that are due up to that time, and moves the clock there."""
        queue = self._queue
        while queue and queue[0][0] <= end_ms:
            at_ms, _, call = heapq.heappop(queue)
            if not call.cancelled:
                self.now_ms = at_ms
                self.events += 1
                call.action(*call.args)
        self.now_ms = max(self.now_ms, end_ms)

    def run_for(self, ms: int) -> None:
        self.run_until(self.now_ms + ms)
