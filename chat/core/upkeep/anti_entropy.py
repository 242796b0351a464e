"""Anti-entropy: heads and versions are compared with the store, in case the bus lost something.

Theory of operation
-------------------

Every second a *part* of all conversations and users that are followed here has its heads and
versions compared with the store, so that each is compared once in `anti_entropy_ms`; the states of
the users' friends are asked for along with them. A part that could not be read is compared again at
the next step. While the bus is down, all are compared every second. A head that is higher than
known starts a catch-up, as a bus message does: anti-entropy has no delivery of its own.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.device_streams import DeviceStreams
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.operations import Failure, HeadsRead, ReadHeads
from chat.core.roster.presence import Presence
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context

STEP_MS: Final = 1_000
COMPARE_AT_ONCE: Final = 500
"""Most conversations, and most users, in one query."""

Part: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The users and the conversations that are compared in one step."""


class AntiEntropy:
    """Compares all conversations and users with the store, part by part."""

    def __init__(
        self,
        context: Context,
        subscriptions: Subscriptions,
        streams: DeviceStreams,
        catch_up: CatchUp,
        roster_sync: RosterSync,
        presence: Presence,
    ) -> None:
        self._context = context
        self._subscriptions = subscriptions
        self._streams = streams
        self._catch_up = catch_up
        self._roster_sync = roster_sync
        self._presence = presence
        self._armed = False
        """The next step is set."""
        self._parts: list[Part] = []
        """The parts that are left of a round, the next one last."""
        self._part: Part = ((), ())
        """The part that was begun last."""
        self._under_way = 0

    def arm(self) -> None:
        """Sees to it that there is a next step as long as there is anything to compare."""
        if not self._armed and (self._context.users or self._streams.conversations):
            self._armed = True
            self._context.deadlines.set(self._context.now_ms + STEP_MS, self._step)

    def _step(self) -> None:
        self._armed = False
        self._catch_up.retry()
        if self._under_way:
            return
        if not self._subscriptions.up:
            self.compare_all()
            return
        if not self._parts:
            self._parts = self._round()
        if self._parts:
            self._part = self._parts.pop()
            self._compare(*self._part)

    def compare_all(self) -> None:
        """Compares all conversations and users now."""
        self._compare(tuple(self._context.users), tuple(self._streams.conversations))

    def _round(self) -> list[Part]:
        """Every user and conversation in one part, in at most as many parts as there are steps
        within `anti_entropy_ms`. The part follows from the number, so that what stays here is
        compared again no later than that, however many others come and go."""
        steps = max(1, self._context.config.anti_entropy_ms // STEP_MS)
        users, conversations = self._context.users, self._streams.conversations
        parts = zip(_split(users, steps), _split(conversations, steps), strict=True)
        return [part for part in parts if any(part)][::-1]

    def _compare(self, users: tuple[int, ...], conversations: tuple[int, ...]) -> None:
        here = self._context.users
        for start in range(0, max(len(users), len(conversations)), COMPARE_AT_ONCE):
            end = start + COMPARE_AT_ONCE
            asked = users[start:end]
            self._under_way += 1
            self._context.query(ReadHeads(conversations[start:end], asked), self._compared)
            if self._subscriptions.up:
                self._presence.compare([here[id] for id in asked if id in here])

    def _compared(self, outcome: HeadsRead | Failure) -> None:
        self._under_way -= 1
        if not isinstance(outcome, HeadsRead):
            if self._part not in self._parts:
                self._parts.append(self._part)
            return
        for id, head in outcome.conversations.items():
            self._catch_up.learn(id, head)
        for id, version in outcome.versions.items():
            self._roster_sync.heard(id, version)


def _split(ids: Iterable[int], count: int) -> list[tuple[int, ...]]:
    parts: list[list[int]] = [[] for _ in range(count)]
    for id in ids:
        parts[id % count].append(id)
    return list(map(tuple, parts))
