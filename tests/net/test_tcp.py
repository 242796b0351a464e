"""Real sockets: framing, slow readers, closing, half-close."""

import asyncio
import json
from pathlib import Path

from msgspec.structs import replace

from chat.core.ports.effects import AnyEffect, PauseReading, ResumeReading
from chat.core.ports.events import (
    Answer,
    AnyEvent,
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    Drain,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.state.config import NodeConfig
from tests.loops import Run
from tests.net.running_node import Peer, RunningNode, WatchedNode, running_node

HIGH_BYTES = 65_536
NONSENSE = 60_000
"""Lines of nonsense, each answered by some 150 bytes: far more than the sockets themselves hold."""
SMALL_BUFFER = NodeConfig(
    write_buffer_bytes=HIGH_BYTES, line_burst=100 * NONSENSE, request_quantum=1_024
)
ONE_EVENT = NodeConfig(
    write_buffer_bytes=HIGH_BYTES, line_burst=100 * NONSENSE, request_quantum=10 * NONSENSE
)
"""All of it is answered in one event, and is in the buffer."""


def ping(id: int) -> bytes:
    return json.dumps({"type": "ping", "id": id}).encode() + b"\n"


def test_many_requests_in_one_segment_are_answered_in_their_order(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            peer = await up.connect()
            await peer.write(b"".join(ping(id) for id in range(10)))
            assert [await peer.line() for _ in range(10)] == [
                {"type": "pong", "re": id} for id in range(10)
            ]

    run(work())


def test_a_request_cut_into_single_bytes_is_answered(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            peer = await up.connect()
            data = ping(7) + ping(8)
            for place in range(len(data)):
                await peer.write(data[place : place + 1])
                await up.node.receives(BytesReceived, place + 1)
            assert [(await peer.line())["re"] for _ in range(2)] == [7, 8]

    run(work())


def test_each_connection_opens_and_is_lost_exactly_once(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            for number in (1, 2, 3):
                peer = await up.connect()
                assert up.node.received(ConnectionOpened)[-1] == ConnectionOpened(
                    number, "127.0.0.1"
                )
                await peer.write(b'{"type":')
                peer.close()
                await up.node.receives(ConnectionLost, number)
        assert up.node.received(ConnectionLost) == [ConnectionLost(n) for n in (1, 2, 3)]

    run(work())


def test_what_was_sent_before_a_close_arrives(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            peer = await up.connect()
            await peer.write(ping(1) + b"x" * 5_000)
            lines = [json.loads(line) for line in (await peer.rest()).splitlines()]
            assert lines[0] == {"type": "pong", "re": 1}
            assert [line.get("code") for line in lines[1:]] == ["too_long"]
            await up.node.receives(ConnectionLost)

    run(work())


async def fill_buffers(up: RunningNode) -> Peer:
    """A peer that does not read, with more sent to it than the buffers hold."""
    peer = await up.connect(receive_bytes=4_096)
    await peer.write(b"x\n" * NONSENSE)
    await up.node.receives(WriteBufferFull)
    return peer


def test_a_slow_reader_gets_everything(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", SMALL_BUFFER) as up:
            peer = await fill_buffers(up)
            assert any(isinstance(effect, PauseReading) for effect in up.node.effects)
            for _ in range(NONSENSE):
                assert (await peer.line())["code"] == "bad_frame"
            last = (await up.node.receives(WriteBufferDrained))[-1]
            assert isinstance(last, WriteBufferDrained)
            assert last.buffered_bytes <= HIGH_BYTES // 4
            assert any(isinstance(effect, ResumeReading) for effect in up.node.effects)
            await peer.write(ping(1))
            assert await peer.line() == {"type": "pong", "re": 1}

    run(work())


def test_progress_of_a_slow_reader_is_reported_before_the_buffer_is_drained(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        store = tmp_path / "chat.db"
        async with running_node(store, ONE_EVENT, progress_s=0.01, send_bytes=4_096) as up:
            peer = await fill_buffers(up)
            while not up.node.received(WriteBufferDrained):
                assert await peer.read(16_384)
            first = up.node.received(WriteBufferDrained)[0]
            assert isinstance(first, WriteBufferDrained)
            assert first.buffered_bytes > HIGH_BYTES // 4

    run(work())


def test_no_progress_is_reported_for_a_reader_that_stands_still(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        config = replace(ONE_EVENT, stall_ms=150)
        store = tmp_path / "chat.db"
        async with running_node(
            store, config, progress_s=0.01, close_s=0.05, send_bytes=4_096
        ) as up:
            await fill_buffers(up)
            await up.node.receives(ConnectionLost)
            # The sockets themselves may have taken a little more.
            left_bytes = [
                event.buffered_bytes
                for event in up.node.received(WriteBufferDrained)
                if isinstance(event, WriteBufferDrained)
            ]
            assert left_bytes == sorted(set(left_bytes), reverse=True)
            assert all(left > HIGH_BYTES for left in left_bytes)

    run(work())


def test_a_closed_connection_whose_peer_reads_nothing_is_aborted(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(
            tmp_path / "chat.db", SMALL_BUFFER, close_s=0.1, send_bytes=4_096
        ) as up:
            await fill_buffers(up)
            up.driver.feed(Drain(0))
            assert not up.node.received(ConnectionLost)
            await up.node.receives(ConnectionLost)

    run(work())


def test_a_closed_connection_that_drains_and_then_stands_still_is_aborted(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        config = NodeConfig(
            write_buffer_bytes=4 * 1024 * 1024,
            line_burst=100 * NONSENSE,
            request_quantum=NONSENSE,
        )
        async with running_node(tmp_path / "chat.db", config, close_s=0.5) as up:
            peer = await up.connect(receive_bytes=4_096)
            await peer.write(b"x\n" * 2 * NONSENSE)
            await up.node.receives(WriteBufferFull)
            up.driver.feed(Drain(0))
            while not up.node.received(WriteBufferDrained, ConnectionLost):
                assert await peer.read(16_384)
                await asyncio.sleep(0)
            await up.node.receives(ConnectionLost)

    run(work())


def test_a_peer_that_shut_down_its_side_gets_its_replies(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            peer = await up.connect()
            ask = {"type": "register", "id": 1, "name": "ann", "password": "secret-ann"}
            login = {"type": "login", "id": 2, "user": "ann", "password": "secret-ann"}
            lines = [ask, login, {"type": "profile", "id": 3}, {"type": "ping", "id": 4}]
            await peer.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            peer.shut_down()
            replies = [json.loads(line) for line in (await peer.rest()).splitlines()]
            assert [reply["type"] for reply in replies] == [
                "registered",
                "logged_in",
                "profile",
                "pong",
            ]
            await up.node.receives(ConnectionLost)

    run(work())


def test_a_peer_that_asked_for_several_turns_full_and_shut_down_its_side_gets_its_replies(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db") as up:
            peer = await up.connect()
            many = 5 * NodeConfig().request_quantum
            await peer.write(b"".join(ping(id) for id in range(many)))
            peer.shut_down()
            replies = [json.loads(line) for line in (await peer.rest()).splitlines()]
            assert [reply["re"] for reply in replies] == list(range(many))
            await up.node.receives(ConnectionLost)

    run(work())


def test_a_peer_that_shut_down_its_side_in_a_line_is_closed_at_once(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", close_s=3_600) as up:
            peer = await up.connect()
            await peer.write(ping(1) + b'{"type":"ping"')
            peer.shut_down()
            assert await peer.rest() == b'{"type":"pong","re":1}\n'
            await up.node.receives(ConnectionLost)

    run(work())


class ForgetfulNode(WatchedNode):
    """A node that drops every answer."""

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        return [] if isinstance(event, Answer) else super().handle(event, now_ms)


def test_a_peer_that_shut_down_its_side_is_not_waited_for_without_end(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        store = tmp_path / "chat.db"
        async with running_node(store, node_type=ForgetfulNode, close_s=0.1) as up:
            peer = await up.connect()
            await peer.ask("login", 1, user="ann", password="secret-ann")
            await up.node.receives(BytesReceived)
            peer.shut_down()
            assert await peer.rest() == b""
            await up.node.receives(ConnectionLost)

    run(work())
