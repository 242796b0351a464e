"""Texts to offline users, and long backlogs to users who reconnect."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from bench.load.peer import TEXT_BYTES, Chat, CheckFailed, Peer, log_in
from bench.load.traffic import Flow, Traffic
from bench.results.comparison import Target, compare
from bench.results.figures import Figure
from bench.results.machine import SERVER_CORE, cpu_s, on_core
from bench.results.measurement import Measurement
from bench.targets.environment import Environment
from bench.targets.fixtures import add_entries, add_friends, add_users, token
from bench.workloads.texts import PAIRS, device, fill_pairs
from chat.storage.backends.connection import DatabaseConnection

BACKLOG: Final = 100_000
PAGE: Final = 128
WAIT_S: Final = 60.0


async def _until(peer: Peer, texts: int) -> None:
    """Waits until the peer has exactly `texts` texts. Raises CheckFailed otherwise."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(first: int, count: int) -> None:
        if first + count >= texts and not done.done():
            done.set_result(None)

    peer.on_texts = note
    peer.begin()
    if peer.texts.next < texts:
        await asyncio.wait({done, peer.closed}, timeout=WAIT_S, return_when="FIRST_COMPLETED")
    peer.raise_failure()
    if peer.texts.next != texts:
        raise CheckFailed(f"{peer.name} got {peer.texts.next} of {texts} texts")


# ---------------------------------------------------------------------------- backlog


class Backlog:
    """One client that resumes, again and again, at the beginning of a long log."""

    def __init__(self, port: int, entries: int, pids: Mapping[str, int]) -> None:
        self._port = port
        self._entries = entries
        self._pids = pids

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        """One backlog, from `logged_in` to the last entry; the arguments are ignored."""
        peer = await log_in(Chat("chat", "-"), self._port, token(2), cursors='{"1":0}')
        cpu = {name: cpu_s(pid) for name, pid in self._pids.items()}
        own, start = time.process_time(), time.perf_counter()
        await _until(peer, self._entries)
        elapsed = time.perf_counter() - start
        own = time.process_time() - own
        used = {name: cpu_s(pid) - cpu[name] for name, pid in self._pids.items()}
        peer.close()
        return Measurement(
            elapsed,
            self._entries,
            0.0,
            0.0,
            elapsed * 1e6,
            {name: one / self._entries * 1e6 for name, one in used.items()},
            own / elapsed,
        )


class BarePages:
    """The same log read from the store in pages and discarded."""

    def __init__(self, connection: DatabaseConnection, entries: int) -> None:
        self._connection = connection
        self._entries = entries

    async def run(self, outstanding: int, seconds: float) -> Measurement:
        with on_core(SERVER_CORE):
            start = time.perf_counter()
            seq = 0
            while seq < self._entries:
                rows = self._connection.query(
                    "SELECT e.seq, e.kind, e.sender_id, u.name, e.text, e.at_ms, e.`key`"
                    " FROM entries e LEFT JOIN users u ON u.id = e.sender_id"
                    " WHERE e.conversation_id = 1 AND e.seq > ? ORDER BY e.seq LIMIT ?",
                    (seq, PAGE),
                )
                seq = int(rows[-1][0])
            elapsed = time.perf_counter() - start
        return Measurement(elapsed, self._entries, 0.0, 0.0, elapsed * 1e6, {}, 0.0)


def backlog_runs(environment: Environment, store: str, entries: int) -> list[Target]:
    """A node with a log of `entries` entries, and the same log read directly from the store."""

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, 2)
        add_friends(connection, [(1, 2)], 1)
        add_entries(connection, 1, 1, (f"{n} ".ljust(TEXT_BYTES, ".") for n in range(entries)))

    node = environment.node(environment.new_store(store, fill))
    connection = environment.open_store(environment.new_store(store, fill))
    environment.at_end(connection.close)
    return [
        Target(f"node, {store}", Backlog(node.port, entries, environment.pids(node, store))),
        Target(f"bare pages, {store}", BarePages(connection, entries)),
    ]


async def backlog(environment: Environment) -> list[Figure]:
    """A backlog of 100,000 entries to one client."""
    entries = max(1_000, int(BACKLOG * environment.scale.size))
    with environment.scope():
        targets = [
            one for store in environment.stores for one in backlog_runs(environment, store, entries)
        ]
        return await compare(f"backlog of {entries:,}", targets, 0, environment.scale)


# ---------------------------------------------------------------------------- offline


async def offline(environment: Environment) -> list[Figure]:
    """10 senders with 32 outstanding each, to offline friends, who must get every text later."""
    with environment.scope():
        targets = []
        flows: dict[int, list[Flow]] = {}
        for store in environment.stores:
            node = environment.node(environment.new_store(store, fill_pairs))
            flows[node.port] = [
                Flow(await device(node.port, sender), [], receiver, wants_replies=True)
                for sender, receiver in PAIRS
            ]
            traffic = Traffic(flows[node.port], environment.pids(node, store))
            targets.append(Target(f"node, {store}", traffic))
        figures = await compare("offline, 10 × 32", targets, 32, environment.scale)
        for port, sent in flows.items():
            for flow in sent:
                peer = await log_in(Chat("chat", "-"), port, token(flow.recipient))
                await _until(peer, flow.sent)
                peer.close()
        return figures
