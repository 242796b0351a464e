"""Closed-loop and paced load: senders with a fixed number of outstanding texts, and receivers.

Theory of operation
-------------------

A *flow* is one sender and its receivers. A text is outstanding until the last receiver has it; for
each text that has arrived at every receiver, the next is sent. A flow without receivers counts
replies instead. All flows of a *traffic* start together, warm up, are measured for a window of
time, and then finish: at the end every receiver has every text that was sent, and every request has
its reply.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from bench.load.peer import CheckFailed, Peer
from bench.results.machine import cpu_s
from bench.results.measurement import Measurement

FINISH_S: Final = 60.0
WARM_UP_S: Final = 0.3


class Flow:
    """One sender, and the progress of each of its receivers."""

    def __init__(
        self, sender: Peer, receivers: Sequence[Peer], recipient: int, *, wants_replies: bool
    ) -> None:
        self.sender = sender
        self.receivers = receivers
        self.recipient = recipient
        self.wants_replies = wants_replies
        self.sent = 0
        self.arrived = 0
        """Number of texts that every receiver has."""
        self.delivered = 0
        """Number of deliveries: texts times receivers."""
        self.open = False
        self.latencies_s: list[float] = []
        self.idle = asyncio.Event()
        self._sent_at: list[float] = []
        self._at: dict[int, int] = {0: len(receivers)}
        """By number of texts: how many receivers have exactly that many."""
        self._request = sender.dialect.request
        for receiver in receivers:
            receiver.on_texts = self._on_one if len(receivers) == 1 else self._on_many
        sender.on_replies = self._on_replies if receivers else self._on_one
        # A lost connection must not leave `finish` waiting.
        for peer in (sender, *receivers):
            peer.closed.add_done_callback(lambda _: self.idle.set())

    def send(self, count: int, at: float | None = None) -> None:
        """Sends `count` texts; `at` is the time they were due, if that was earlier than now."""
        start, end = self.sent, self.sent + count
        request, recipient = self._request, self.recipient
        self.sent = end
        self._sent_at += [time.perf_counter() if at is None else at] * count
        self.sender.write(b"".join([request(recipient, n) for n in range(start, end)]))

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
            self._note_idle()

    def _arrive(self, count: int) -> None:
        now = time.perf_counter()
        start = self.arrived
        self.arrived = start + count
        self.latencies_s += [now - at for at in self._sent_at[start : start + count]]
        if self.open:
            self.send(count)
        else:
            self._note_idle()

    def _note_idle(self) -> None:
        if self.arrived == self.sent and (
            not self.wants_replies or self.sender.replies.next == self.sent
        ):
            self.idle.set()

    def finish(self) -> None:
        """Sends no more; `idle` is set when all outstanding texts have arrived."""
        self.open = False
        self.check_alive()
        self.idle.clear()
        self._note_idle()

    def check_alive(self) -> None:
        """Raises CheckFailed if a check failed or a connection is lost."""
        for peer in (self.sender, *self.receivers):
            peer.raise_failure()
            if peer.closed.done():
                raise CheckFailed(f"{peer.name}: the server closed the connection")

    def check(self) -> None:
        """Raises CheckFailed if, when idle, a text or a reply is missing."""
        self.check_alive()
        for receiver in self.receivers:
            if receiver.texts.next != self.sent:
                raise CheckFailed(f"{receiver.name} got {receiver.texts.next} of {self.sent} texts")
        if self.wants_replies and self.sender.replies.next != self.sent:
            raise CheckFailed(
                f"{self.sender.name} got {self.sender.replies.next} replies to {self.sent} requests"
            )


class Traffic:
    """Flows that run together, any number of times; each run begins and ends idle."""

    def __init__(self, flows: Sequence[Flow], pids: Mapping[str, int]) -> None:
        self.flows = flows
        self.pids = pids

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        """Raises CheckFailed on a wrong answer, TimeoutError if the flows do not finish."""
        for flow in self.flows:
            flow.check_alive()
            flow.open = True
            flow.idle.clear()
            flow.send(outstanding)
        await self._sleep(min(WARM_UP_S, seconds))
        return await self._measure(lambda: self._sleep(seconds))

    async def run_paced(self, every_s: float, seconds: float) -> Measurement:
        """Each flow sends a text every `every_s` seconds, whether or not the last one has arrived.
        Latency runs from the time a text was due."""

        async def work() -> None:
            start = time.perf_counter()
            gap = every_s / len(self.flows)
            for number in range(max(1, int(seconds / gap))):
                at = start + number * gap
                await asyncio.sleep(at - time.perf_counter())
                self.flows[number % len(self.flows)].send(1, at)
            await self._sleep(start + seconds - time.perf_counter())

        return await self._measure(work)

    async def _measure(self, work: Callable[[], Awaitable[None]]) -> Measurement:
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
        await self._finish()
        # Includes the texts that were outstanding when the window ended.
        latencies = [one for flow in self.flows for one in flow.latencies_s]
        if not delivered:
            raise CheckFailed("nothing was delivered in the time that was measured")
        each = {name: used / delivered * 1e6 for name, used in cpu.items()}
        return Measurement.of(elapsed, latencies, own, each, delivered)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for flow in self.flows:
            if flow.idle.is_set():
                flow.check_alive()

    async def _finish(self) -> None:
        for flow in self.flows:
            flow.finish()
        for flow in self.flows:
            await asyncio.wait_for(flow.idle.wait(), FINISH_S)
            flow.check()

    def _delivered(self) -> int:
        return sum(flow.delivered for flow in self.flows)

    def _cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self.pids.items()}

    def close(self) -> None:
        for flow in self.flows:
            for peer in (flow.sender, *flow.receivers):
                peer.close()
