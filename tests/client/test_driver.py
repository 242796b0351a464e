"""The driver on real sockets: effects reach them, and what happens on them reaches the session."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from chat.client.driver import SessionDriver
from chat.client.session.client_session import ClientSession
from chat.client.session.connection import Timing
from chat.client.session.ports import events, notices
from chat.client.session.ports.notices import ConnectionStatus
from deploy.servers import HOST, free_port

WAIT_S = 10.0
WELCOME = (
    b'{"type":"welcome","protocol":1,"node":"n","now":1,"limits":{"login_line_bytes":4096,'
    b'"line_bytes":65536,"in_flight":64,"sends_per_second":20,"send_burst":40,"ping_ms":20000,'
    b'"dead_ms":45000}}\n'
)
LOGGED_IN = (
    b'{"type":"logged_in","re":1,"user":{"id":1,"name":"ann"},"token":"%s",'
    b'"friends":[],"groups":[],"requests":[]}\n' % (b"a" * 64)
)


class Peer:
    """A server that greets every connection, and keeps the lines it got."""

    def __init__(self, greeting: bytes = WELCOME) -> None:
        self._greeting = greeting
        self.lines: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.ended = 0
        """How many connections the client has ended."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, HOST, 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in self.writers:
                writer.close()
            await until(lambda: self.ended == len(self.writers))
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(self._greeting)
        try:
            while line := await reader.readline():
                self.lines.append(line)
        except ConnectionError:
            pass
        finally:
            self.ended += 1


class Recorder:
    """Keeps the notices, and waits for one."""

    def __init__(self) -> None:
        self.notices: list[notices.AnyNotice] = []
        self.on_notice: Callable[[notices.AnyNotice], None] = lambda notice: None

    def show(self, notice: notices.AnyNotice) -> None:
        self.notices.append(notice)
        self.on_notice(notice)

    def statuses(self) -> list[ConnectionStatus]:
        return [n.status for n in self.notices if isinstance(n, notices.ConnectionChanged)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def a_driver(port: int, recorder: Recorder, timing: Timing | None = None) -> SessionDriver:
    session = ClientSession("key", lambda: 0.5, timing)
    return SessionDriver(session, HOST, port, recorder.show)


def test_effects_reach_the_socket_and_bytes_reach_the_session() -> None:
    async def work() -> None:
        peer, recorder = Peer(), Recorder()
        async with peer.listening() as port:
            driver = a_driver(port, recorder)
            driver.feed(events.LogIn("ann", "secret-ann"))
            await until(lambda: bool(peer.lines))
            assert b'"type":"login"' in peer.lines[0]
            peer.writers[0].write(LOGGED_IN[:20])
            await asyncio.sleep(0.02)
            peer.writers[0].write(LOGGED_IN[20:])
            await until(lambda: driver.session.online)
            assert recorder.statuses() == [
                ConnectionStatus.CONNECTING,
                ConnectionStatus.CONNECTED,
                ConnectionStatus.ONLINE,
            ]
            driver.close()
            await until(lambda: peer.ended == 1)

    asyncio.run(work())


def test_a_connection_that_is_refused_is_dialled_again() -> None:
    async def work() -> None:
        port, recorder = free_port(), Recorder()
        timing = Timing(backoff_first_ms=10, backoff_max_ms=20)
        driver = a_driver(port, recorder, timing)
        driver.feed(events.LogIn("ann", "secret-ann"))
        await until(lambda: recorder.statuses().count(ConnectionStatus.WAITING) >= 3)
        reasons = {n.reason for n in recorder.notices if isinstance(n, notices.ConnectionChanged)}
        assert "connection refused" in reasons
        driver.close()
        count = len(recorder.notices)
        await asyncio.sleep(0.1)
        assert len(recorder.notices) == count

    asyncio.run(work())


def test_a_connection_that_the_node_closes_is_told_with_its_reason() -> None:
    async def work() -> None:
        peer, recorder = Peer(), Recorder()
        async with peer.listening() as port:
            driver = a_driver(port, recorder, Timing(backoff_first_ms=10, backoff_max_ms=20))
            driver.feed(events.LogIn("ann", "secret-ann"))
            await until(lambda: bool(peer.lines))
            peer.writers[0].close()
            await until(lambda: len(peer.writers) == 2)
            lost = [
                notice
                for notice in recorder.notices
                if isinstance(notice, notices.ConnectionChanged)
                and notice.status is ConnectionStatus.WAITING
            ]
            assert lost[0].reason == "the node closed the connection"
            driver.close()

    asyncio.run(work())


def test_the_session_is_woken_at_its_deadline() -> None:
    """`welcome` never comes: nothing but the timer can end the wait for it."""

    async def work() -> None:
        peer, recorder = Peer(greeting=b""), Recorder()
        async with peer.listening() as port:
            driver = a_driver(port, recorder, Timing(connect_ms=50))
            driver.feed(events.LogIn("ann", "secret-ann"))
            await until(lambda: ConnectionStatus.WAITING in recorder.statuses())
            driver.close()

    asyncio.run(work())


def test_an_event_that_is_fed_while_a_notice_is_shown_is_handled_after_it() -> None:
    async def work() -> None:
        recorder = Recorder()
        driver = a_driver(free_port(), recorder)

        def log_out(notice: notices.AnyNotice) -> None:
            if isinstance(notice, notices.ConnectionChanged):
                driver.feed(events.LogOut())

        recorder.on_notice = log_out
        driver.feed(events.LogIn("ann", "secret-ann"))
        assert [type(notice) for notice in recorder.notices] == [
            notices.ConnectionChanged,
            notices.LoggedOut,
        ]
        driver.close()

    asyncio.run(work())
