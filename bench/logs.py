"""Texts to those who are not there, and long backlogs to those who come back."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from bench.comparison import Contestant, compare
from bench.figures import Figure
from bench.fixtures import add_entries, add_friends, add_users, token
from bench.machine import SERVER_CORE, cpu_s, on_core
from bench.peer import TEXT_BYTES, Chat, Peer, Wrong, log_in
from bench.shapes import PAIRS, device, fill_pairs
from bench.stage import Stage
from bench.traffic import Flow, Measured, Traffic
from chat.storage.backends.connection import DatabaseConnection

BACKLOG: Final = 100_000
PAGE: Final = 128
WAIT_S: Final = 60.0


async def _until(peer: Peer, texts: int) -> None:
    """Waits until the peer has so many texts. Wrong if it gets anything else, or not that."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(first: int, count: int) -> None:
        if first + count >= texts and not done.done():
            done.set_result(None)

    peer.on_texts = look
    peer.begin()
    if peer.texts.next < texts:
        await asyncio.wait({done, peer.closed}, timeout=WAIT_S, return_when="FIRST_COMPLETED")
    peer.raise_failure()
    if peer.texts.next != texts:
        raise Wrong(f"{peer.name} got {peer.texts.next} of {texts} texts")


# ---------------------------------------------------------------------------- backlog


class Backlog:
    """One client that comes back to a long log, again and again."""

    def __init__(self, port: int, entries: int, pids: Mapping[str, int]) -> None:
        self._port = port
        self._entries = entries
        self._pids = pids

    async def run(self, outstanding: int, seconds: float) -> Measured:
        """Takes as long as it takes. From `logged_in` to the last entry."""
        peer = await log_in(Chat("chat", "-"), self._port, token(2), cursors='{"1":0}')
        cpu = {name: cpu_s(pid) for name, pid in self._pids.items()}
        own, start = time.process_time(), time.perf_counter()
        await _until(peer, self._entries)
        elapsed = time.perf_counter() - start
        own = time.process_time() - own
        used = {name: cpu_s(pid) - cpu[name] for name, pid in self._pids.items()}
        peer.close()
        return Measured(
            elapsed,
            self._entries,
            0.0,
            0.0,
            elapsed * 1e6,
            {name: one / self._entries * 1e6 for name, one in used.items()},
            own / elapsed,
        )


class BarePages:
    """The same log read page by page from the store, and thrown away."""

    def __init__(self, connection: DatabaseConnection, entries: int) -> None:
        self._connection = connection
        self._entries = entries

    async def run(self, outstanding: int, seconds: float) -> Measured:
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
        return Measured(elapsed, self._entries, 0.0, 0.0, elapsed * 1e6, {}, 0.0)


def backlog_runs(stage: Stage, store: str, entries: int) -> list[Contestant]:
    """A node with a log, and a log to be read without one."""

    def fill(connection: DatabaseConnection) -> None:
        add_users(connection, 1, 2)
        add_friends(connection, [(1, 2)], 1)
        add_entries(connection, 1, 1, (f"{n} ".ljust(TEXT_BYTES, ".") for n in range(entries)))

    node = stage.node(stage.new_store(store, fill))
    connection = stage.open_store(stage.new_store(store, fill))
    stage.at_end(connection.close)
    return [
        Contestant(f"node, {store}", Backlog(node.port, entries, stage.pids(node, store))),
        Contestant(f"bare pages, {store}", BarePages(connection, entries)),
    ]


async def backlog(stage: Stage) -> list[Figure]:
    """100,000 entries to one client."""
    entries = max(1_000, int(BACKLOG * stage.scale.size))
    with stage.scene():
        contestants = [one for store in stage.stores for one in backlog_runs(stage, store, entries)]
        return await compare(f"backlog of {entries:,}", contestants, 0, stage.scale)


# ---------------------------------------------------------------------------- offline


async def offline(stage: Stage) -> list[Figure]:
    """10 senders with 32 outstanding each, to friends who are not there; then these come and must
    find it all."""
    with stage.scene():
        contestants = []
        flows: dict[int, list[Flow]] = {}
        for store in stage.stores:
            node = stage.node(stage.new_store(store, fill_pairs))
            flows[node.port] = [
                Flow(await device(node.port, sender), [], receiver, wants_replies=True)
                for sender, receiver in PAIRS
            ]
            traffic = Traffic(flows[node.port], stage.pids(node, store))
            contestants.append(Contestant(f"node, {store}", traffic))
        figures = await compare("to the absent, 10 × 32", contestants, 32, stage.scale)
        for port, sent in flows.items():
            for flow in sent:
                peer = await log_in(Chat("chat", "-"), port, token(flow.target))
                await _until(peer, flow.sent)
                peer.close()
        return figures
