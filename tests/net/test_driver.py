"""The driver by itself: the order of writes, one write a turn, time, and internal errors of the
node. Its sockets are lists; its node is the real one, or one that raises."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.bus.local import LocalBus
from chat.core.delivery.write_coalescing import WriteCoalescer
from chat.core.node import Node
from chat.core.ports.effects import AnyEffect, Close, Deliver, Query, Send
from chat.core.ports.events import (
    AnyEvent,
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    Tick,
    WriteBufferFull,
)
from chat.core.ports.operations import ReadProfile, StoreOperation
from chat.core.state.config import NodeConfig
from chat.net.driver import Driver
from tests.loops import Run
from tests.net.running_node import WatchedNode, running_node

LARGE_FROM, LARGE_PER_FLUSH = 500, 32
"""The write coalescer's defaults."""


class ListTransport:
    """Keeps what the driver does with a connection. `on_write` is called from within a write, as
    asyncio calls pause_writing."""

    def __init__(self, on_write: Callable[[], None] = lambda: None) -> None:
        self.calls: list[bytes | str] = []
        self._on_write = on_write

    def write(self, data: bytes) -> None:
        self.calls.append(data)
        self._on_write()

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class ScriptedNode(Node):
    """Does what the script says at an event; a real node at all others."""

    def __init__(self, script: Callable[[AnyEvent], list[AnyEffect] | None]) -> None:
        super().__init__(NodeConfig())
        self._script = script

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        effects = self._script(event)
        return super().handle(event, now_ms) if effects is None else effects


def connect(driver: Driver, transport: ListTransport) -> int:
    connection = driver.connected(transport)
    driver.feed(ConnectionOpened(connection, "127.0.0.1"))
    return connection


def pings(count: int) -> bytes:
    return b"".join(b'{"type":"ping","id":%d}\n' % id for id in range(count))


async def turn() -> None:
    """Lets the loop go round once."""
    await asyncio.sleep(0)


# ---------------------------------------------------------------------------- writes


def test_what_is_sent_in_one_turn_is_one_write(run: Run) -> None:
    async def work() -> None:
        driver = Driver(Node(NodeConfig()), LocalBus())
        transport = ListTransport()
        connection = connect(driver, transport)
        driver.feed(BytesReceived(connection, pings(6)))
        driver.feed(BytesReceived(connection, pings(4)))
        assert not transport.calls
        await turn()
        (written,) = transport.calls
        assert isinstance(written, bytes)
        lines = [json.loads(line)["type"] for line in written.splitlines()]
        assert lines == ["welcome", *["pong"] * 10]

    run(work())


def test_one_delivery_is_one_write_a_socket_beside_what_else_is_sent(run: Run) -> None:
    script: dict[type[AnyEvent], list[AnyEffect]] = {
        ConnectionOpened: [],
        Tick: [Send(1, b"a\n"), Deliver((1, 2), b"b\n"), Send(2, b"c\n"), Send(9, b"nobody\n")],
    }

    async def work() -> None:
        driver = Driver(ScriptedNode(lambda event: script.get(type(event))), LocalBus())
        transports = [ListTransport(), ListTransport()]
        for transport in transports:
            connect(driver, transport)
        driver.feed(Tick())
        await turn()
        assert [transport.calls for transport in transports] == [[b"a\nb\n"], [b"b\nc\n"]]

    run(work())


def test_a_large_fan_out_is_written_in_parts_and_delays_no_other_write(run: Run) -> None:
    async def work() -> None:
        script: list[AnyEffect] = []
        driver = Driver(ScriptedNode(lambda event: script), LocalBus())
        everybody = [ListTransport() for _ in range(LARGE_FROM + 1)]
        *large, other = [driver.connected(transport) for transport in everybody]
        script[:] = [
            Deliver(tuple(large), b"to all\n"),
            Send(other, b"to one\n"),
            Send(large[-1], b"and to the last\n"),
        ]
        driver.feed(Tick())
        await turn()
        written = [transport for transport in everybody if transport.calls]
        assert len(written) == LARGE_PER_FLUSH + 1
        assert everybody[-1].calls == [b"to one\n"]
        for _ in range(LARGE_FROM // LARGE_PER_FLUSH):
            await turn()
        assert [transport.calls for transport in everybody[:-2]] == [[b"to all\n"]] * (
            LARGE_FROM - 1
        )
        assert everybody[-2].calls == [b"to all\nand to the last\n"]

    run(work())


class SilentStore:
    """Never answers."""

    def submit_all(self, jobs: Sequence[tuple[int, StoreOperation]]) -> None:
        pass


def test_a_large_fan_out_is_written_even_if_the_store_never_answers(run: Run) -> None:
    async def work() -> None:
        count = 3 * LARGE_PER_FLUSH + LARGE_FROM
        written = asyncio.Event()
        left = set(range(1, count + 1))

        def wrote(connection: int) -> None:
            left.discard(connection)
            if not left:
                written.set()

        script: list[AnyEffect] = [
            Query(1, ReadProfile(1)),
            Deliver(tuple(left), b"to all\n"),
        ]
        driver = Driver(ScriptedNode(lambda event: script), LocalBus())
        driver.store = SilentStore()
        for connection in sorted(left):
            driver.connected(ListTransport(partial(wrote, connection)))
        driver.feed(Tick())
        await written.wait()

    run(work())


AUDIENCES = (*[(one,) for one in range(1, 8)], (1, 2), (3, 4, 5), (2, 3, 4), (1, 2, 3, 4, 5, 6, 7))


@given(
    turns=st.lists(
        st.lists(st.sampled_from(AUDIENCES) | st.integers(1, 7), max_size=8), max_size=5
    ),
    full=st.sets(st.integers(1, 7)),
)
def test_each_connection_gets_its_effects_in_order_whatever_their_size(
    turns: list[list[tuple[int, ...] | int]], full: set[int]
) -> None:
    """A tuple: delivered to these; a number: that one is closed."""
    said: dict[int, list[bytes | str]] = {connection: [] for connection in range(1, 8)}
    scripts: deque[list[AnyEffect]] = deque()
    count = 0
    for turn_ in turns:
        script: list[AnyEffect] = []
        for whom in turn_:
            count += 1
            data = b"%d\n" % count
            if isinstance(whom, int):
                script.append(Close(whom))
                if "close" not in said[whom]:
                    said[whom].append("close")
                continue
            script.append(Send(whom[0], data) if len(whom) == 1 else Deliver(whom, data))
            for connection in whom:
                if "close" not in said[connection]:
                    said[connection].append(data)
        scripts.append(script)

    def handle(event: AnyEvent) -> list[AnyEffect]:
        return scripts.popleft() if isinstance(event, Tick) else []

    async def work() -> None:
        coalescer = WriteCoalescer(shared_from=2, large_from=6, large_per_flush=2)
        driver = Driver(ScriptedNode(handle), LocalBus(), coalescer=coalescer)
        everybody: list[ListTransport] = []
        for number in range(1, 8):
            report = partial(driver.feed, WriteBufferFull(number)) if number in full else None
            everybody.append(ListTransport(report or (lambda: None)))
            driver.connected(everybody[-1])
        while scripts:
            driver.feed(Tick())
            await turn()
        for _ in everybody:
            await turn()
        for number, transport in enumerate(everybody, 1):
            calls = transport.calls
            if "close" in calls:
                calls = calls[: calls.index("close") + 1]
            got = b"".join(call for call in calls if isinstance(call, bytes)).splitlines(True)
            assert [*got, *["close"] * ("close" in calls)] == said[number]

    asyncio.run(work())


def test_what_was_sent_before_a_close_is_written_before_it(run: Run) -> None:
    """Also when the close is decided upon while the turn's writes go out."""

    def script(event: AnyEvent) -> list[AnyEffect] | None:
        if isinstance(event, Tick):
            return [Send(1, b"to the first\n"), Send(2, b"to the second\n")]
        if isinstance(event, WriteBufferFull):
            return [Send(2, b"farewell\n"), Close(2)]
        return []

    async def work() -> None:
        driver = Driver(ScriptedNode(script), LocalBus())
        connect(driver, ListTransport(lambda: driver.feed(WriteBufferFull(1))))
        connect(driver, second := ListTransport())
        driver.feed(Tick())
        await turn()
        await turn()
        assert second.calls == [b"to the second\n", b"farewell\n", "close"]

    run(work())


def test_an_abort_drops_what_was_not_written(run: Run) -> None:
    effects: list[AnyEffect] = [Send(1, b"never seen\n"), Close(1, abort=True)]

    async def work() -> None:
        driver = Driver(
            ScriptedNode(lambda event: effects if isinstance(event, Tick) else []), LocalBus()
        )
        connect(driver, transport := ListTransport())
        driver.feed(Tick())
        await turn()
        assert transport.calls == ["abort"]

    run(work())


def test_what_is_written_while_the_turns_writes_go_out_is_written_too(run: Run) -> None:
    def script(event: AnyEvent) -> list[AnyEffect] | None:
        if isinstance(event, Tick):
            return [Send(1, b"1"), Send(2, b"2")]
        return [Send(1, b"3"), Send(2, b"4")] if isinstance(event, WriteBufferFull) else []

    async def work() -> None:
        first = ListTransport(
            lambda: driver.feed(WriteBufferFull(1)) if first.calls == [b"1"] else None
        )
        driver = Driver(ScriptedNode(script), LocalBus())
        connect(driver, first)
        connect(driver, second := ListTransport())
        driver.feed(Tick())
        for _ in range(3):
            await turn()
        assert first.calls == [b"1", b"3"]
        assert b"".join(call for call in second.calls if isinstance(call, bytes)) == b"24"

    run(work())


def test_the_node_is_never_entered_while_it_is_in(run: Run) -> None:
    driver: Driver | None = None

    class FeedingNode(WatchedNode):
        inside = False

        def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
            assert not self.inside
            self.inside = True
            if event == BytesReceived(1, b"1"):
                assert driver is not None
                driver.feed(BytesReceived(1, b"2"))
                assert BytesReceived(1, b"2") not in self.events
            effects = super().handle(event, now_ms)
            self.inside = False
            return effects

    async def work() -> None:
        nonlocal driver
        driver = Driver(node := FeedingNode(NodeConfig()), LocalBus())
        driver.feed(BytesReceived(1, b"1"))
        assert node.events == [BytesReceived(1, b"1"), BytesReceived(1, b"2")]

    run(work())


# ---------------------------------------------------------------------------- internal errors


class FailingNode(WatchedNode):
    """Raises for each BytesReceived with `boom` in it."""

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        if isinstance(event, BytesReceived) and b"boom" in event.data:
            raise ZeroDivisionError
        return super().handle(event, now_ms)


def test_an_internal_error_ends_the_connection_of_its_event_and_no_other(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", node_type=FailingNode) as up:
            ann, bob = await up.connect(), await up.connect()
            await ann.write(b'{"type":"boom","secret":"hunter2"}\n')
            assert await ann.rest() == b""
            await up.node.receives(ConnectionLost)
            await bob.write(pings(1))
            assert (await bob.line())["type"] == "pong"

    run(work())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert record.getMessage() == "internal error at BytesReceived {'connection': 1}"
    assert "hunter2" not in caplog.text


def test_an_internal_error_at_every_tick_does_not_spin(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = 0

    class StuckNode(Node):
        def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
            nonlocal ticks
            if isinstance(event, Tick):
                ticks += 1
                ticked.set()
                raise ZeroDivisionError
            return []

        def next_deadline_ms(self) -> int:
            return 0

    async def work() -> None:
        driver = Driver(StuckNode(NodeConfig()), LocalBus())
        connection = connect(driver, ListTransport())
        await ticked.wait()
        for _ in range(100):
            driver.feed(BytesReceived(connection, b""))
            await turn()
        assert ticks == 1
        driver.stop()

    ticked = asyncio.Event()
    run(work())
    assert len(caplog.records) == 1


def test_after_the_stop_nothing_reaches_the_node(run: Run) -> None:
    async def work() -> None:
        node = WatchedNode(NodeConfig())
        driver = Driver(node, LocalBus())
        connection = connect(driver, transport := ListTransport())
        await turn()
        driver.stop()
        driver.disconnected(connection)
        driver.feed(ConnectionLost(connection))
        assert transport.calls[-1] == "abort"
        assert not node.received(ConnectionLost)

    run(work())


# ---------------------------------------------------------------------------- time


def test_the_timer_wakes_the_node_when_something_is_due(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", NodeConfig(login_ms=50)) as up:
            peer = await up.connect()
            assert (await peer.line())["code"] == "too_slow"
            assert await peer.rest() == b""
            assert up.node.received(Tick)

    run(work())


def test_time_is_the_wall_clock_and_never_goes_back(run: Run) -> None:
    async def work() -> None:
        driver = Driver(Node(NodeConfig()), LocalBus())
        times = [driver.now_ms() for _ in range(1_000)]
        assert times == sorted(times)

    run(work())
