"""A relay on bare uvloop that stores, checks and decodes nothing: the lower bound in Python.

The first line of a connection names a room; every later byte is forwarded unchanged to the other
connections of the room. uvloop joins the writes of one loop iteration to a socket.
"""

import asyncio
import sys
from typing import cast

import uvloop


class Relay(asyncio.Protocol):
    """One connection."""

    rooms: dict[bytes, list[asyncio.Transport]] = {}

    def __init__(self) -> None:
        self._room: list[asyncio.Transport] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._room is not None:
            self._room.remove(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._room is None:
            name, _, data = data.partition(b"\n")
            self._room = self.rooms.setdefault(name, [])
            self._room.append(self._transport)
            self._transport.write(b"here\n")
            if not data:
                return
        own = self._transport
        for transport in self._room:
            if transport is not own:
                transport.write(data)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Relay, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
