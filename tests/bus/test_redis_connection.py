"""A connection by itself, to a Redis of a few lines that answers what a test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from hiredis import Reader, ReplyError

from chat.bus import redis_connection
from chat.bus.redis_address import RedisAddress
from chat.bus.redis_connection import Reply, open_connection
from tests.loops import Run

HOST = "127.0.0.1"
CERTIFICATE = Path(__file__).with_name("localhost.pem")
OK, PONG = b"+OK\r\n", b"+PONG\r\n"

Answer = Callable[[list[bytes]], bytes]


class FakeRedis(asyncio.Protocol):
    """The server's side of a connection. `answer` gives what is sent back for a command."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[list[bytes]] = []
        self.pieces = 0
        self._reader = Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.pieces += 1
        self._reader.feed(data)
        replies = []
        while (command := self._reader.gets()) is not False:
            self.commands.append(command)
            replies.append(self.answer(command))
        self.transport.write(b"".join(replies))


def ok(command: list[bytes]) -> bytes:
    if command[0] == b"PING" and len(command) > 1:
        return b"$%d\r\n%b\r\n" % (len(command[1]), command[1])
    return PONG if command[0] == b"PING" else OK


@asynccontextmanager
async def serving(answer: Answer = ok) -> AsyncIterator[tuple[FakeRedis, RedisAddress]]:
    redis = FakeRedis(answer)
    server = await asyncio.get_running_loop().create_server(lambda: redis, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield redis, RedisAddress.parse(f"redis://{HOST}:{port}")


@pytest.mark.parametrize(
    ("query", "commands"),
    [
        ("", []),
        ("password=secret", [[b"AUTH", b"secret"]]),
        ("username=ann&password=secret", [[b"AUTH", b"ann", b"secret"]]),
        ("username=ann", [[b"AUTH", b"ann", b""]]),
        ("db=3&client_name=chat", [[b"CLIENT", b"SETNAME", b"chat"], [b"SELECT", b"3"]]),
    ],
)
def test_it_logs_in_as_the_url_says(run: Run, query: str, commands: list[list[bytes]]) -> None:
    async def work() -> None:
        async with serving() as (redis, address):
            address = RedisAddress.parse(f"redis://{address}?{query}")
            connection = await open_connection(address)
            assert await connection.call(("PING",)) == [b"PONG"]
            assert redis.commands == [*commands, [b"PING"]]
            await connection.close()

    run(work())


def test_a_redis_without_user_names_is_given_the_password_alone(run: Run) -> None:
    def old(command: list[bytes]) -> bytes:
        if len(command) == 3:
            return b"-ERR wrong number of arguments for 'auth' command\r\n"
        return OK

    async def work() -> None:
        async with serving(old) as (redis, address):
            connection = await open_connection(address._replace(username="ann", password="secret"))
            assert redis.commands[-1] == [b"AUTH", b"secret"]
            await connection.close()

    run(work())


@pytest.mark.parametrize("query", ["password=secret", "db=1", "client_name=chat"])
def test_a_refused_login_says_why(run: Run, query: str) -> None:
    async def work() -> None:
        async with serving(lambda command: b"-NO that is not allowed\r\n") as (_, address):
            with pytest.raises(ConnectionError, match="NO that is not allowed"):
                await open_connection(RedisAddress.parse(f"redis://{address}?{query}"))

    run(work())


def test_a_unix_socket_and_tls_carry_the_same(run: Run, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    path = tmp_path / "redis.sock"

    async def work() -> None:
        loop = asyncio.get_running_loop()
        encrypted = await loop.create_server(lambda: FakeRedis(ok), HOST, 0, ssl=context)
        local = await loop.create_unix_server(lambda: FakeRedis(ok), str(path))
        port = encrypted.sockets[0].getsockname()[1]
        trusting = f"ssl_check_hostname=no&ssl_ca_certs={quote(str(CERTIFICATE))}"
        async with encrypted, local:
            for url in (f"unix://{path}?db=1", f"rediss://{HOST}:{port}/1?{trusting}"):
                connection = await open_connection(RedisAddress.parse(url))
                assert await connection.call(("PING",)) == [b"PONG"]
                await connection.close()
            with pytest.raises(OSError, match=r"(?i)certificate.verify.failed"):
                await open_connection(RedisAddress.parse(f"rediss://{HOST}:{port}"))

    run(work())


# ---------------------------------------------------------------------------- commands and replies


def test_commands_of_a_turn_are_one_write_and_their_replies_are_taken_at_once(run: Run) -> None:
    async def work() -> None:
        async with serving() as (redis, address):
            connection = await open_connection(address)
            calls = [
                asyncio.ensure_future(connection.call(("PING",), ("GET", 1))) for _ in range(9)
            ]
            await calls[0]
            await asyncio.sleep(0)
            assert all(call.done() for call in calls)
            assert redis.pieces == 1
            assert len(redis.commands) == 18
            await connection.close()

    run(work())


def test_replies_belong_to_their_commands_in_order(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def count(command: list[bytes]) -> bytes:
        if command[0] == b"FAIL":
            return b"-ERR no\r\n"
        return b":%b\r\n" % command[1] if command[0] == b"COUNT" else ok(command)

    async def work() -> None:
        async with serving(count) as (_, address):
            connection = await open_connection(address)
            first = asyncio.ensure_future(connection.call(("COUNT", 1), ("FAIL",), ("COUNT", 2)))
            await asyncio.sleep(0)
            connection.send(("COUNT", 3), ("FAIL",))
            assert await connection.call(("COUNT", 4)) == [4]
            one, error, two = await first
            assert (one, two) == (1, 2)
            assert isinstance(error, ReplyError)
            await connection.close()

    run(work())
    assert [record.getMessage() for record in caplog.records] == ["Redis refused a command: ERR no"]


def test_a_stream_gets_every_reply(run: Run) -> None:
    async def work() -> None:
        got: list[Reply] = []
        three = asyncio.Event()

        def receive(reply: Reply) -> None:
            got.append(reply)
            if len(got) == 3:
                three.set()

        async with serving(lambda command: b"*1\r\n:1\r\n:2\r\n:3\r\n") as (_, address):
            connection = await open_connection(address)
            connection.stream_to(receive)
            connection.send(("SUBSCRIBE", "a"))
            await three.wait()
            assert got == [[1], 2, 3]
            await connection.close()

    run(work())


def test_more_than_the_socket_takes_waits_and_arrives_whole(run: Run) -> None:
    async def work() -> None:
        async with serving() as (redis, address):
            connection = await open_connection(address)
            redis.transport.pause_reading()
            for _ in range(10_000):
                connection.send(("SET", "key", b"x" * 1_000))
            await asyncio.sleep(0)
            assert connection.backlog
            redis.transport.resume_reading()
            assert await connection.call(("PING",)) == [b"PONG"]
            assert not connection.backlog
            assert len(redis.commands) == 10_001
            await connection.close()

    run(work())


# ---------------------------------------------------------------------------- the end


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"nonsense\r\n", "Redis sent what is no reply"),
        (b"-ERR max number of clients reached\r\n", "max number of clients reached"),
        (b"", "Redis closed the connection"),
    ],
)
def test_what_breaks_a_connection_is_raised(run: Run, sent: bytes, reason: str) -> None:
    async def work() -> None:
        async with serving() as (redis, address):
            connection = await open_connection(address)
            await asyncio.sleep(0.01)
            if sent:
                redis.transport.write(sent)
            else:
                redis.transport.close()
            with pytest.raises(ConnectionError, match=reason):
                await connection.broken()
            with pytest.raises(ConnectionError, match="the connection is broken"):
                await connection.call(("PING",))
            connection.send(("PING",))
            await connection.close()

    run(work())


def test_a_pending_call_fails_with_the_connection(run: Run) -> None:
    async def work() -> None:
        async with serving(lambda command: b"") as (redis, address):
            connection = await open_connection(address)
            call = asyncio.ensure_future(connection.call(("PING",)))
            await asyncio.sleep(0.01)
            redis.transport.abort()
            with pytest.raises(ConnectionError, match="the connection broke"):
                await call
            await connection.close()

    run(work())


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_server_is_noticed(
    run: Run, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(redis_connection, "CHECK_S", 0.02)

    async def work() -> None:
        silent = False

        def answer(command: list[bytes]) -> bytes:
            return b"" if silent else ok(command)

        async with serving(answer) as (redis, address):
            connection = await open_connection(address)
            if stream:
                connection.stream_to(lambda reply: None)
            broken = asyncio.ensure_future(connection.broken())
            await asyncio.sleep(0.3)
            assert not broken.done()
            assert len(redis.commands) > redis_connection.SILENT_CHECKS
            silent = True
            with pytest.raises(TimeoutError, match="Redis does not answer"):
                await broken
            await connection.close()

    run(work())


def test_a_missing_reply_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "CHECK_S", 0.02)

    def swallow(command: list[bytes]) -> bytes:
        return b"" if command[0] == b"SET" else ok(command)

    async def work() -> None:
        async with serving(swallow) as (_, address):
            connection = await open_connection(address)
            connection.send(("SET", "key", "value"))
            with pytest.raises(ConnectionError, match="replies of Redis are missing"):
                await connection.broken()
            await connection.close()

    run(work())
