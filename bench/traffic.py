"""Texts that flow: senders with so many outstanding, and those who must get them.

A *flow* is one sender and its receivers. A text is outstanding until the last receiver has it;
with each one that has arrived everywhere, the next is sent. A flow without receivers counts the
replies. All flows of a *traffic* start together, run for a while before anything is measured,
are measured for a window of time, and then come to rest: at the end every text that was sent has
come to everyone, and every request has its reply.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from bench.machine import cpu_s, quantile
from bench.peer import Peer, Wrong

REST_S: Final = 60.0
WARM_S: Final = 0.3


class Measured(NamedTuple):
    """One window. Latencies run from the sending of a text to its arrival at the last receiver."""

    seconds: float
    delivered: int
    p50_us: float
    p99_us: float
    max_us: float
    cpu_us: dict[str, float]
    """By process: user and system time a delivered text."""
    load: float
    """How busy the load generator's core was, 1.0 at most; near that it is the bottleneck."""

    @classmethod
    def of(
        cls,
        seconds: float,
        latencies_s: Sequence[float],
        own_s: float,
        cpu_us: dict[str, float],
        delivered: int | None = None,
    ) -> "Measured":
        """`own_s` is the load generator's CPU time. Without `delivered`, as many as latencies."""
        ordered = sorted(latencies_s)
        return cls(
            seconds,
            len(ordered) if delivered is None else delivered,
            quantile(ordered, 0.5) * 1e6,
            quantile(ordered, 0.99) * 1e6,
            ordered[-1] * 1e6,
            cpu_us,
            own_s / seconds,
        )

    @property
    def rate(self) -> float:
        return self.delivered / self.seconds


class Flow:
    """One sender, and where each of its receivers is."""

    def __init__(
        self, sender: Peer, receivers: Sequence[Peer], target: int, *, wants_replies: bool
    ) -> None:
        self.sender = sender
        self.receivers = receivers
        self.target = target
        self.wants_replies = wants_replies
        self.sent = 0
        self.arrived = 0
        """How many texts every receiver has."""
        self.delivered = 0
        """Texts times receivers."""
        self.open = False
        self.latencies_s: list[float] = []
        self.rested = asyncio.Event()
        self._sent_at: list[float] = []
        self._at: dict[int, int] = {0: len(receivers)}
        """How many receivers have so many texts."""
        self._request = sender.dialect.request
        for receiver in receivers:
            receiver.on_texts = self._on_one if len(receivers) == 1 else self._on_many
        sender.on_replies = self._on_replies if receivers else self._on_one
        # Whatever ends a connection ends the wait for it.
        for peer in (sender, *receivers):
            peer.closed.add_done_callback(lambda _: self.rested.set())

    def send(self, count: int, at: float | None = None) -> None:
        """`at` is when it should have been sent, if that was earlier."""
        start, end = self.sent, self.sent + count
        request, target = self._request, self.target
        self.sent = end
        self._sent_at += [time.perf_counter() if at is None else at] * count
        self.sender.write(b"".join([request(target, n) for n in range(start, end)]))

    def _on_one(self, first: int, count: int) -> None:
        self.delivered += count
        self._arrive(count)

    def _on_many(self, first: int, count: int) -> None:
        self.delivered += count
        at = self._at
        end = first + count
        at[end] = at.get(end, 0) + 1
        left = at[first] - 1
        if left:
            at[first] = left
        else:
            del at[first]
            if first == self.arrived:
                self._arrive(min(at) - first)

    def _on_replies(self, first: int, count: int) -> None:
        if not self.open:
            self._look()

    def _arrive(self, count: int) -> None:
        now = time.perf_counter()
        start = self.arrived
        self.arrived = start + count
        self.latencies_s += [now - at for at in self._sent_at[start : start + count]]
        if self.open:
            self.send(count)
        else:
            self._look()

    def _look(self) -> None:
        if self.arrived == self.sent and (
            not self.wants_replies or self.sender.replies.next == self.sent
        ):
            self.rested.set()

    def close_up(self) -> None:
        """Sends no more, and waits for the rest."""
        self.open = False
        self.check_alive()
        self.rested.clear()
        self._look()

    def check_alive(self) -> None:
        """Wrong if something went wrong, or a connection is gone."""
        for peer in (self.sender, *self.receivers):
            peer.raise_failure()
            if peer.closed.done():
                raise Wrong(f"{peer.name}: the server hung up")

    def check(self) -> None:
        """At rest: Wrong if anything is missing anywhere."""
        self.check_alive()
        for receiver in self.receivers:
            if receiver.texts.next != self.sent:
                raise Wrong(f"{receiver.name} got {receiver.texts.next} of {self.sent} texts")
        if self.wants_replies and self.sender.replies.next != self.sent:
            raise Wrong(
                f"{self.sender.name} got {self.sender.replies.next} replies to {self.sent} requests"
            )


class Traffic:
    """Flows that run together. May run any number of times; each run begins and ends at rest."""

    def __init__(self, flows: Sequence[Flow], pids: Mapping[str, int]) -> None:
        self.flows = flows
        self.pids = pids

    async def run(self, outstanding: int, seconds: float) -> Measured:
        """Wrong if the server did what it must not do; TimeoutError if it does not get done."""
        for flow in self.flows:
            flow.check_alive()
            flow.open = True
            flow.rested.clear()
            flow.send(outstanding)
        await self._sleep(min(WARM_S, seconds))
        return await self._measure(lambda: self._sleep(seconds))

    async def run_paced(self, every_s: float, seconds: float) -> Measured:
        """Each flow sends a text every so often, whether or not the last one has arrived. Latencies
        run from when it was due."""

        async def work() -> None:
            start = time.perf_counter()
            gap = every_s / len(self.flows)
            for number in range(max(1, int(seconds / gap))):
                at = start + number * gap
                await asyncio.sleep(at - time.perf_counter())
                self.flows[number % len(self.flows)].send(1, at)
            await self._sleep(start + seconds - time.perf_counter())

        return await self._measure(work)

    async def _measure(self, work: Callable[[], Awaitable[None]]) -> Measured:
        for flow in self.flows:
            flow.latencies_s = []
        delivered = -self._delivered()
        cpu = self._cpu_s()
        own, start = time.process_time(), time.perf_counter()
        await work()
        elapsed = time.perf_counter() - start
        own = time.process_time() - own
        cpu = {name: after - cpu[name] for name, after in self._cpu_s().items()}
        delivered += self._delivered()
        await self._rest()
        # What was under way at the end is as late as it is.
        latencies = [one for flow in self.flows for one in flow.latencies_s]
        if not delivered:
            raise Wrong("nothing was delivered in the time that was measured")
        each = {name: used / delivered * 1e6 for name, used in cpu.items()}
        return Measured.of(elapsed, latencies, own, each, delivered)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for flow in self.flows:
            if flow.rested.is_set():
                flow.check_alive()

    async def _rest(self) -> None:
        for flow in self.flows:
            flow.close_up()
        for flow in self.flows:
            await asyncio.wait_for(flow.rested.wait(), REST_S)
            flow.check()

    def _delivered(self) -> int:
        return sum(flow.delivered for flow in self.flows)

    def _cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self.pids.items()}

    def close(self) -> None:
        for flow in self.flows:
            for peer in (flow.sender, *flow.receivers):
                peer.close()
