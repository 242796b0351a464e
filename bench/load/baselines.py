"""Clients of the baseline servers, the relay and ngircd, for the same workloads."""

import re
from typing import Final

from bench.load.peer import Chat, CheckFailed, Peer, connect, text
from bench.load.traffic import Flow


class Lines(Chat):
    """Chat lines that the relay forwards unchanged; a text gets no reply."""

    replies: re.Pattern[bytes] | None = None
    seqs: re.Pattern[bytes] | None = None


_GREETING: Final = re.compile(rb":[^ ]+ (?:[0-3]\d\d|4[0-2]\d|JOIN|MODE) ")
"""Lines of the server about a login or a join."""


class Irc:
    """IRC: a text is a PRIVMSG to a nick or a channel, and gets no reply."""

    texts: re.Pattern[bytes] = re.compile(rb"PRIVMSG [^ ]+ :(\d+) ")
    replies: re.Pattern[bytes] | None = None
    seqs: re.Pattern[bytes] | None = None

    def __init__(self, recipient: str) -> None:
        self._request = f"PRIVMSG {recipient} :%b\r\n".encode()

    def request(self, recipient: int, number: int) -> bytes:
        return self._request % text(number)

    def other(self, line: bytes) -> bytes | None:
        if line.startswith(b"PING"):
            return line.replace(b"PING", b"PONG", 1) + b"\r\n"
        if _GREETING.match(line):
            return None
        raise CheckFailed(f"not expected: {line.decode(errors='replace')}")


async def relay_peer(port: int, room: str, kind: str) -> Peer:
    peer = await connect(Lines(kind, f"{room}-"), port)
    peer.write(room.encode() + b"\n")
    await peer.line()
    peer.begin()
    return peer


async def relay_flow(port: int, room: str, receivers: int) -> Flow:
    kind = "chat" if receivers == 1 else "group_chat"
    peers = [await relay_peer(port, room, kind) for _ in range(1 + receivers)]
    return Flow(peers[0], peers[1:], 1_000_001, wants_replies=False)


async def irc_flow(port: int, name: str, receivers: int) -> Flow:
    channel = f"#{name}" if receivers > 1 else None
    peers = [await irc_peer(port, f"{name}s", channel or f"{name}r0", channel)]
    peers += [
        await irc_peer(port, f"{name}r{n}", channel or f"{name}s", channel)
        for n in range(receivers)
    ]
    for peer in peers:
        peer.begin()
    return Flow(peers[0], peers[1:], 0, wants_replies=False)


async def irc_peer(port: int, nick: str, recipient: str, channel: str | None) -> Peer:
    peer = await connect(Irc(recipient), port, nick)
    peer.write(f"NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n".encode())
    await _irc_until(peer, b" 376 ")
    if channel is not None:
        peer.write(f"JOIN {channel}\r\n".encode())
        await _irc_until(peer, b" 366 ")
    return peer


async def _irc_until(peer: Peer, *codes: bytes) -> None:
    for _ in range(10_000):
        line = await peer.line()
        if line.startswith(b"PING"):
            peer.write(line.replace(b"PING", b"PONG", 1) + b"\r\n")
        if any(code in line for code in codes):
            return
    raise CheckFailed("the IRC server did not confirm the login or the join")
