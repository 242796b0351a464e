"""The presence directory on Redis: a set with a lease for each node.

Theory of operation
-------------------

The set `p:RUN` holds the users that are connected to one node, and a dot; RUN is the node's run
id, the random name of this run of it. The set expires unless the lease is renewed, and with it goes
what a dead node had announced. The set `nodes` lists the run ids.

Changes are sent as small deltas. Each renewal compares the size of the set and writes it anew if it
is not the expected one, whatever happened to it. Every write is a transaction that ends in the
set's expiry, so no set can stay for ever. A run id whose set is gone is removed from `nodes` by the
node that notices; a living node lists itself again with each renewal.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from chat.bus.base import UNAVAILABLE
from chat.bus.redis_connection import Command, RedisConnection
from chat.core.ports.operations import PresenceFound, PresenceOutcome

DOT: Final = "."
"""The member that a node's set has even if no user is connected."""
USERS_PER_COMMAND: Final = 500

_log = logging.getLogger("chat.redis")


class Times(NamedTuple):
    """How long things take on this bus."""

    renew_ms: int = 5_000
    lease_ms: int = 15_000
    find_ms: int = 2_000
    retry_ms: tuple[int, int] = (100, 1_000)


class RedisPresence:
    """One node's part of the directory."""

    def __init__(self, run_id: str, times: Times) -> None:
        self._run_id = run_id
        self._times = times
        self._prefix = self._nodes = self._key = ""
        self._connection: RedisConnection | None = None
        self._online: set[int] = set()
        self._changed: dict[int, bool] = {}
        """Whether a user came or went, for the changes of this loop iteration."""

    def set_prefix(self, prefix: str) -> None:
        """Names the keys. Called before the first connection."""
        self._prefix = f"{prefix}p:"
        self._nodes = f"{prefix}nodes"
        self._key = self._prefix + self._run_id

    def announce(self, online: tuple[int, ...], offline: tuple[int, ...]) -> None:
        changed = {user: True for user in online if user not in self._online}
        changed |= {user: False for user in offline if user in self._online}
        self._online |= set(online)
        self._online -= set(offline)
        if changed and self._connection is not None:
            if not self._changed:
                asyncio.get_running_loop().call_soon(self.send_changes)
            self._changed |= changed

    def send_changes(self) -> None:
        """Sends the changes of this loop iteration."""
        if self._connection is not None and self._changed:
            came = [user for user, online in self._changed.items() if online]
            went = [user for user, online in self._changed.items() if not online]
            self._connection.send(
                ("MULTI",),
                *_in_parts("SADD", self._key, came),
                *_in_parts("SREM", self._key, went),
                ("PEXPIRE", self._key, self._times.lease_ms),
                ("EXEC",),
            )
        self._changed.clear()

    # ------------------------------------------------------------------ the lease

    async def connected(self, connection: RedisConnection) -> None:
        """Takes the lease on a new connection. Raises ConnectionError."""
        self._connection = connection
        await self._write_lease(connection)

    def disconnected(self) -> None:
        self._connection = None
        self._changed.clear()

    async def _write_lease(self, connection: RedisConnection) -> None:
        """Writes the whole set anew. Raises ConnectionError."""
        self._changed.clear()
        replies = await connection.call(
            ("MULTI",),
            ("SADD", self._nodes, self._run_id),
            ("DEL", self._key),
            *_in_parts("SADD", self._key, [DOT, *self._online]),
            ("PEXPIRE", self._key, self._times.lease_ms),
            ("EXEC",),
        )
        if isinstance(replies[-1], Exception):
            raise ConnectionError(f"Redis does not take the lease: {replies[-1]}")

    async def renew(self, connection: RedisConnection) -> None:
        """Renews the lease until the connection breaks. Raises ConnectionError."""
        while True:
            await asyncio.sleep(self._times.renew_ms / 1000)
            self.send_changes()
            expected = len(self._online) + 1
            _, has_set, size = await connection.call(
                ("SADD", self._nodes, self._run_id),
                ("PEXPIRE", self._key, self._times.lease_ms),
                ("SCARD", self._key),
            )
            if has_set != 1 or size != expected:
                _log.warning("the presence of this node was gone from Redis; written again")
                await self._write_lease(connection)

    async def leave(self, connection: RedisConnection) -> None:
        """Removes this node from the directory. Raises ConnectionError."""
        self.send_changes()
        await connection.call(("DEL", self._key), ("SREM", self._nodes, self._run_id))

    # ------------------------------------------------------------------ looking up

    async def find(self, connection: RedisConnection, users: tuple[int, ...]) -> PresenceOutcome:
        """Which of the users are online on any node. Raises ConnectionError."""
        self.send_changes()
        (nodes,) = await connection.call(("SMEMBERS", self._nodes))
        if not isinstance(nodes, list):
            return UNAVAILABLE
        if not nodes:
            return PresenceFound(())
        prefix = self._prefix.encode()
        replies = await connection.call(
            *[("SMISMEMBER", prefix + node, DOT, *users) for node in nodes]
        )
        online: set[int] = set()
        for node, reply in zip(nodes, replies, strict=True):
            if not isinstance(reply, list) or len(reply) != len(users) + 1:
                return UNAVAILABLE
            has_set, *is_member = reply
            if not has_set:
                connection.send(("SREM", self._nodes, node))
            online.update(user for user, there in zip(users, is_member, strict=True) if there)
        return PresenceFound(tuple(user for user in users if user in online))


def _in_parts(command: str, key: str, members: Sequence[str | int]) -> list[Command]:
    """The command for all members, `USERS_PER_COMMAND` at a time."""
    return [
        (command, key, *members[start : start + USERS_PER_COMMAND])
        for start in range(0, len(members), USERS_PER_COMMAND)
    ]
