"""The process of the legitimate users, which measures what they notice.

Theory of operation
-------------------

Pairs of friends chat at a steady pace, well within the limits, on connections that are opened
beforehand; other users connect and log in, or resume, and leave. Both go on in the same way before
and during an attack, so that a login which takes CPU time from the node does so in both.

The first line of the output says whether the process has a real-time policy. Each line of the input
is a number of seconds to measure; it is answered by a line with a `Noticed`. A text that never
arrives counts with the time for which it was waited.
"""

import asyncio
import gc
import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

import msgspec
import uvloop

from bench.load.peer import Chat, Peer, dial, log_in
from bench.results.attacks import DELIVERED, OK, SENT, Logins, Noticed, Spread
from bench.results.machine import run_first
from bench.results.measurement import quantile
from bench.targets.fixtures import PASSWORD, token
from bench.workloads.attacks.attackers import LOGGED_IN, resume
from bench.workloads.attacks.population import ARRIVALS, TALKERS

TEXTS_PER_SECOND: Final = 10
"""Texts of each user; half of what the default limits allow."""
LOGIN_EVERY_S: Final = 1.0
RESUME_EVERY_S: Final = 0.5
DRAIN_S: Final = 5.0
"""How long texts and logins that are under way at the end are waited for."""
CHECK_S: Final = 0.01


class LegitimateChat(Chat):
    """The protocol, with every push that an attack may cause. An `error` is a fault.

    Pushes carry `seq` of several conversations; the order of texts and replies is checked by their
    own numbers.
    """

    seqs: re.Pattern[bytes] | None = None
    _pushes = tuple(
        b'{"type":"%b",' % name
        for name in (
            *(b"presence", b"receipt", b"message", b"group", b"group_deleted"),
            *(b"friend", b"friend_request", b"friend_removed"),
        )
    )

    def other(self, line: bytes) -> bytes | None:
        return None if line.startswith(self._pushes) else super().other(line)


class Direction:
    """The texts of one user to the friend."""

    def __init__(self, sender: Peer, receiver: Peer, recipient: int) -> None:
        self._sender = sender
        self._recipient = recipient
        self._first = 0
        self._sent_at: list[float] = []
        self._delivered_at: list[float] = []
        self._replied_at: list[float] = []
        receiver.on_texts = lambda _, count: self._note(self._delivered_at, count)
        sender.on_replies = lambda _, count: self._note(self._replied_at, count)

    def begin(self) -> None:
        """Texts from here on are measured."""
        self._first = len(self._sent_at)

    def send(self) -> None:
        if not self._sender.closed.done():
            self._sent_at.append(time.perf_counter())
            number = len(self._sent_at) - 1
            self._sender.write(self._sender.dialect.request(self._recipient, number))

    @property
    def missing(self) -> int:
        return len(self._sent_at) - min(len(self._delivered_at), len(self._replied_at))

    def latencies_s(self, what: str, now: float) -> list[float]:
        """Latencies until DELIVERED or SENT; of a missing text, the time until `now`."""
        arrived_at = self._delivered_at if what == DELIVERED else self._replied_at
        sent_at = self._sent_at[self._first :]
        arrived = itertools.chain(arrived_at[self._first :], itertools.repeat(now))
        return [end - start for start, end in zip(sent_at, arrived, strict=False)]

    @staticmethod
    def _note(times: list[float], count: int) -> None:
        times += [time.perf_counter()] * count


class _Arrival(asyncio.Protocol):
    """A connection that sends one request to log in and waits for the answer."""

    def __init__(self, request: bytes) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._request = request
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        *lines, _ = self._received.split(b"\n")
        for line in lines:
            if LOGGED_IN in line:
                self._end(OK)
            elif line.startswith(b'{"type":"error"'):
                self._end(str(json.loads(line)["code"]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed")

    def _end(self, outcome: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Arrivals:
    """Users who connect, log in and leave; one kind of login."""

    def __init__(self, port: int, request: Callable[[int], bytes], users: Sequence[int]) -> None:
        self._port = port
        self._request = request
        self._users = itertools.cycle(users)
        self._outcomes: Counter[str] = Counter()
        self._slowest_s = 0.0

    async def arrive(self) -> None:
        start = time.perf_counter()
        try:
            outcome = await asyncio.wait_for(self._log_in(next(self._users)), DRAIN_S)
        except TimeoutError:
            outcome = "unanswered"
        except OSError:
            outcome = "not connected"
        self._outcomes[outcome] += 1
        self._slowest_s = max(self._slowest_s, time.perf_counter() - start)

    async def _log_in(self, user: int) -> str:
        loop = asyncio.get_running_loop()
        transport, arrival = await loop.create_connection(
            lambda: _Arrival(self._request(user)), sock=await dial(self._port)
        )
        try:
            return await arrival.outcome
        finally:
            transport.abort()

    def take(self) -> Logins:
        """The logins since the last call."""
        logins = Logins(dict(self._outcomes), self._slowest_s * 1000)
        self._outcomes, self._slowest_s = Counter(), 0.0
        return logins


def _login_request(user: int) -> bytes:
    return b'{"type":"login","id":1,"user":%d,"password":"%b"}\n' % (user, PASSWORD.encode())


class LegitimateUsers:
    """All legitimate users."""

    def __init__(self, port: int, peers: dict[int, Peer]) -> None:
        self._peers = peers
        half = len(ARRIVALS) // 2
        self._logins = Arrivals(port, _login_request, ARRIVALS[:half])
        self._resumes = Arrivals(port, resume, ARRIVALS[half:])
        self._directions = [
            Direction(peers[sender], peers[receiver], receiver)
            for user in TALKERS[::2]
            for sender, receiver in ((user, user + 1), (user + 1, user))
        ]

    @classmethod
    async def connected(cls, port: int) -> "LegitimateUsers":
        peers = {}
        for user in TALKERS:
            peers[user] = await log_in(LegitimateChat("chat", f"{user}-"), port, token(user))
            peers[user].begin()
        return cls(port, peers)

    async def measure(self, seconds: float) -> Noticed:
        for direction in self._directions:
            direction.begin()
        late_s: list[float] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self._talk(seconds, late_s))
            group.create_task(_repeatedly(self._logins.arrive, LOGIN_EVERY_S, seconds))
            group.create_task(_repeatedly(self._resumes.arrive, RESUME_EVERY_S, seconds))
        now = time.perf_counter()
        return Noticed(
            {
                what: Spread.of(
                    [one for each in self._directions for one in each.latencies_s(what, now)]
                )
                for what in (DELIVERED, SENT)
            },
            sum(direction.missing for direction in self._directions),
            [_fault(peer) for peer in self._peers.values() if peer.closed.done()],
            self._logins.take(),
            self._resumes.take(),
            quantile(sorted(late_s), 0.99) * 1000,
        )

    async def _talk(self, seconds: float, late_s: list[float]) -> None:
        start = time.perf_counter()
        gap_s = 1 / TEXTS_PER_SECOND / len(self._directions)
        for number in range(max(1, int(seconds / gap_s))):
            due = start + number * gap_s
            await asyncio.sleep(due - time.perf_counter())
            late_s.append(time.perf_counter() - due)
            self._directions[number % len(self._directions)].send()
        end = time.perf_counter() + DRAIN_S
        while time.perf_counter() < end and any(one.missing for one in self._directions):
            await asyncio.sleep(CHECK_S)


async def _repeatedly(work: Callable[[], Awaitable[None]], every_s: float, seconds: float) -> None:
    """Begins `work` every `every_s`, whether or not the one before has ended."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(max(1, int(seconds / every_s))):
            await asyncio.sleep(start + number * every_s - time.perf_counter())
            group.create_task(_awaited(work))


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _fault(peer: Peer) -> str:
    return f"{peer.name}: {peer.failure or 'the node closed the connection'}"


async def _serve(port: int, is_first: bool) -> None:
    users = await LegitimateUsers.connected(port)
    print(json.dumps(is_first), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(msgspec.json.encode(await users.measure(float(line))).decode(), flush=True)


if __name__ == "__main__":
    # A garbage collection here would be measured as a pause of the node.
    gc.disable()
    is_first = run_first()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), is_first))
