"""Headers of balancers: any cut gives the same, garbage is refused, and the limits count by the
address that the header names."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.core.ports.events import BytesReceived, ConnectionLost, ConnectionOpened
from chat.core.state.config import NodeConfig
from chat.net.proxy_protocol import (
    V1_MAX_BYTES,
    V2_MAX_BYTES,
    BadHeader,
    Balancers,
    Header,
    parse_header,
)
from tests.loops import Run
from tests.net.running_node import Peer, RunningNode, running_node

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCALHOST = Balancers.parse("127.0.0.1")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6).filter(
    lambda address: isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None
)
ports = st.integers(0, 65_535)


def v1(source: object, target: object = "10.0.0.9", ports: tuple[int, int] = (4000, 6000)) -> bytes:
    family = 6 if ":" in str(source) else 4
    target = "::9" if family == 6 and target == "10.0.0.9" else target
    return f"PROXY TCP{family} {source} {target} {ports[0]} {ports[1]}\r\n".encode()


def v2(
    source: Address, target: Address, more: bytes = b"", ports: tuple[int, int] = (1, 2)
) -> bytes:
    family = 0x11 if source.version == 4 else 0x21
    body = source.packed + target.packed + struct.pack("!HH", *ports) + more
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """A header, and the address that it names."""
    kind = draw(st.sampled_from(["v1", "v2", "unknown", "local", "elsewhere"]))
    family = draw(st.sampled_from([v4, v6]))
    source, target = draw(family), draw(family)
    both = draw(ports), draw(ports)
    if kind == "v1":
        return v1(source, target, both), str(source)
    if kind == "v2":
        return v2(source, target, draw(st.binary(max_size=300)), both), str(source)
    if kind == "unknown":
        more = draw(st.sampled_from(["", " ffff:f...f:ffff ffff:f...f:ffff 65535 65535"]))
        return f"PROXY UNKNOWN{more}\r\n".encode(), None
    body = draw(st.binary(max_size=300))
    if kind == "local":
        return SIGNATURE + struct.pack(
            "!BBH", 0x20, draw(st.sampled_from([0, 0x11])), len(body)
        ) + (body), None
    return SIGNATURE + struct.pack("!BBH", 0x21, draw(st.sampled_from([0, 0x31])), len(body)) + (
        body
    ), None


# ---------------------------------------------------------------------------- the parser


@given(headers(), st.binary(max_size=64))
def test_every_cut_of_a_header_gives_the_same(made: tuple[bytes, str | None], after: bytes) -> None:
    header, address = made
    data = header + after
    for cut in range(len(header)):
        assert parse_header(data[:cut]) is None
    for cut in range(len(header), len(data) + 1):
        assert parse_header(data[:cut]) == Header(address, len(header))


beginnings = st.sampled_from(
    [b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", SIGNATURE, SIGNATURE + b"\x21\x11"]
)


def verdict(data: bytes) -> Header | str | None:
    try:
        return parse_header(data)
    except BadHeader:
        return "bad"


@given(beginnings, st.binary(max_size=200), st.sampled_from([b"", b"\r\n"]))
@example(b"PROXY TCP4 ", b"1.2.3.4 1.2.3.4 1 \xc2\xb2", b"\r\n")
@example(b"PROXY TCP6 ::1 ", b"fe80::1%lo 1 2", b"\r\n")
def test_garbage_is_refused_and_nothing_else_and_for_good(
    start: bytes, middle: bytes, end: bytes
) -> None:
    data = start + middle + end
    decided = [found for cut in range(len(data) + 1) if (found := verdict(data[:cut])) is not None]
    assert len(set(decided)) <= 1
    if len(data) >= V2_MAX_BYTES or (data.startswith(b"PROXY ") and len(data) >= V1_MAX_BYTES):
        assert decided


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b'{"type":"ping","id":1}',
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2",
        b"PROXY TCP4",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3",
        b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2",
        b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2",
        b"PROXY TCP4 ::1 ::1 1 2",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2",
        b"PROXY UNKNOWN " + b"x" * 100,
    ],
)
def test_a_line_that_is_wrong_is_refused(line: bytes) -> None:
    with pytest.raises(BadHeader):
        parse_header(line + b"\r\n")


@pytest.mark.parametrize(
    "rest",
    [
        b"\x11\x11\x00\x0c" + bytes(12),
        b"\x22\x11\x00\x0c" + bytes(12),
        b"\x21\x41\x00\x0c" + bytes(12),
        b"\x21\x13\x00\x0c" + bytes(12),
        b"\x21\x11\x00\x0b" + bytes(11),
        b"\x21\x21\x00\x0c" + bytes(12),
        b"\x21\x11\xff\xff",
    ],
    ids=["version", "command", "family", "transport", "short", "short for IPv6", "too long"],
)
def test_a_binary_header_that_is_wrong_is_refused(rest: bytes) -> None:
    with pytest.raises(BadHeader):
        parse_header(SIGNATURE + rest)


def test_an_ipv4_host_has_one_address_however_it_is_written() -> None:
    mapped = ipaddress.ip_address("::ffff:203.0.113.7")
    for header in (v1("203.0.113.7"), v1(mapped), v2(mapped, mapped)):
        found = parse_header(header)
        assert found is not None
        assert found.address == "203.0.113.7"


def test_balancers_are_addresses_and_networks() -> None:
    balancers = Balancers.parse("10.0.0.5, 192.168.7.0/24,fd00::/64")
    assert str(balancers) == "10.0.0.5, 192.168.7.0/24, fd00::/64"
    for address in ("10.0.0.5", "192.168.7.200", "fd00::1", "::ffff:10.0.0.5"):
        assert balancers.trusts(address)
    for address in ("10.0.0.6", "192.168.8.1", "fd00:0:0:1::1", "", "unix:"):
        assert not balancers.trusts(address)
    assert not Balancers().trusts("127.0.0.1")


@pytest.mark.parametrize("text", ["", "nginx", "10.0.0.5,", "10.0.0.5/24", "10.0.0.0/33"])
def test_the_error_names_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no address"):
        Balancers.parse(text)


# ---------------------------------------------------------------------------- on sockets


async def dial(up: RunningNode, *parts: bytes, host: str = "127.0.0.1") -> Peer:
    """A connection from a host of this machine that sends each part in a segment of its own, as far
    as it is let."""
    raw = socket.socket()
    raw.setblocking(False)
    raw.bind((host, 0))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", up.port))
    peer = up.add(raw)
    for part in parts:
        with contextlib.suppress(ConnectionError):
            await peer.write(part)
        await asyncio.sleep(0)
    return peer


@contextlib.asynccontextmanager
async def behind(folder: Path, **limits: int) -> AsyncIterator[RunningNode]:
    async with running_node(folder / "chat.db", NodeConfig(**limits), balancers=LOCALHOST) as up:  # type: ignore[arg-type]
        yield up


def ping(id: int) -> bytes:
    return json.dumps({"type": "ping", "id": id}).encode() + b"\n"


BINARY = v2(ipaddress.ip_address("2001:db8::7"), ipaddress.ip_address("::1"), b"\x04\x00\x01x")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (v1("203.0.113.7"), "203.0.113.7"),
        (BINARY, "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1"),
    ],
    ids=["v1", "v2", "unknown", "local"],
)
def test_a_connection_opens_with_the_address_in_the_header(
    run: Run, tmp_path: Path, header: bytes, address: str
) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:
            together = await dial(up, header + ping(1))
            single = await dial(up, *(bytes([byte]) for byte in header + ping(2)))
            for id, peer in enumerate((together, single), 1):
                assert (await peer.line())["type"] == "welcome"
                assert await peer.line() == {"type": "pong", "re": id}
            opened = up.node.received(ConnectionOpened)
            assert opened == [ConnectionOpened(1, address), ConnectionOpened(2, address)]
            received = b"".join(
                event.data
                for event in up.node.received(BytesReceived)
                if isinstance(event, BytesReceived) and event.connection == 1
            )
            assert received == ping(1)

    run(work())


@pytest.mark.parametrize(
    "data", [ping(1), b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200, SIGNATURE + b"\x33"]
)
def test_what_is_no_header_closes_the_connection_and_is_logged(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:
            peer = await dial(up, data)
            assert await peer.rest() == b""
            assert not up.node.received(ConnectionOpened, ConnectionLost)

    with caplog.at_level(logging.WARNING):
        run(work())
    (record,) = caplog.records
    assert "127.0.0.1: bad PROXY header" in record.getMessage()


@pytest.mark.parametrize("data", [b"", b"PROXY TCP4 203.0.113.7 10."])
def test_a_header_that_does_not_come_in_time_closes_the_connection(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async def work() -> None:
        async with behind(tmp_path, login_ms=100) as up:
            peer = await dial(up, data)
            assert await peer.rest() == b""
            assert not up.node.received(ConnectionOpened, ConnectionLost)

    with caplog.at_level(logging.WARNING):
        run(work())
    (record,) = caplog.records
    assert "no PROXY header within 0.1 s" in record.getMessage()


def test_a_balancer_that_only_connects_is_not_logged(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:
            (await dial(up)).close()
            await (await dial(up, v1("203.0.113.7"))).line()
            assert up.node.received(ConnectionOpened, ConnectionLost) == [
                ConnectionOpened(2, "203.0.113.7")
            ]

    with caplog.at_level(logging.WARNING):
        run(work())
    assert not caplog.records


def test_a_header_from_another_address_is_a_bad_line(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:
            peer = await dial(up, v1("203.0.113.7") + ping(1), host="127.0.0.2")
            kinds = [await peer.line() for _ in range(3)]
            assert [line.get("code", line["type"]) for line in kinds] == [
                "welcome",
                "bad_frame",
                "pong",
            ]
            assert up.node.received(ConnectionOpened) == [ConnectionOpened(1, "127.0.0.2")]

    run(work())


def test_unauthenticated_connections_are_counted_by_the_address_in_the_header(
    run: Run, tmp_path: Path
) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:
            for _ in range(20):
                peer = await dial(up, v1("203.0.113.7"))
                assert (await peer.line())["type"] == "welcome"
            crowded = await dial(up, v1("203.0.113.7"))
            assert [json.loads(line)["type"] for line in (await crowded.rest()).splitlines()] == [
                "welcome",
                "error",
            ]
            other = await dial(up, v1("203.0.113.8") + ping(1))
            assert (await other.line())["type"] == "welcome"
            assert (await other.line())["type"] == "pong"

    run(work())


def test_failed_logins_are_counted_by_the_address_in_the_header(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with behind(tmp_path) as up:

            async def code(source: str, id: int) -> str:
                peer = await dial(up, v1(source))
                await peer.ask("login", id, user="nobody", password="correct horse")
                return str((await peer.line_of("error"))["code"])

            codes = [await code("203.0.113.7", id) for id in range(6)]
            assert codes == ["bad_credentials"] * 5 + ["rate_limited"]
            assert await code("203.0.113.8", 9) == "bad_credentials"

    run(work())
