"""The world: a clock that only this module moves, and a queue of what is due.

Whatever happens in a simulated cluster is a call that was put in the queue for a time, by a name.
Calls of the same time run in the order in which they were put in. All chance comes from streams of
random numbers that are named after who draws from them and seeded by the run's seed, so that one
part's draws do not depend on another's, and a seed gives one history.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

P = ParamSpec("P")

START_MS = 1_700_000_000_000
"""Simulated time begins here, in ms since 1970."""


class Chance(random.Random):
    """A stream of random numbers whose `randint` costs a third of the library's."""

    def randint(self, a: int, b: int) -> int:
        return a + int(self.random() * (b - a + 1))


class Call:
    """Something that is due. A cancelled call is passed over."""

    __slots__ = ("action", "args", "at_ms", "cancelled")

    def __init__(self, at_ms: int, action: Callable[..., None], args: tuple[object, ...]) -> None:
        self.at_ms = at_ms
        self.action = action
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """Time and chance of one simulated run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ms = START_MS
        self.events = 0
        """Calls that have run."""
        self._queue: list[tuple[int, int, Call]] = []
        self._order = 0
        self._streams: dict[str, Chance] = {}

    def chance(self, name: str) -> Chance:
        """The stream of random numbers of that name."""
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Chance(f"{self.seed}/{name}")
        return stream

    def later(
        self, delay_ms: int, action: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> Call:
        """Has the action run after that time; at once, but not within this call, for 0."""
        self._order += 1
        at_ms = self.now_ms + delay_ms if delay_ms > 0 else self.now_ms
        call = Call(at_ms, partial(action, **kwargs) if kwargs else action, args)
        heapq.heappush(self._queue, (at_ms, self._order, call))
        return call

    def run_until(self, end_ms: int) -> None:
        """Lets everything happen that is due up to that time."""
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
