"""Asking the store what the bus may have failed to tell.

Every second a part of all conversations and users that are followed here has its heads and versions
compared with the store, so that within `sweep_ms` each has had its turn; the states of the
users' friends are asked for along with it. While the bus is down all are compared every second.
A head that is higher than known starts a catch-up, as any hint does: the sweep has no
delivery of its own.
"""

from math import ceil

from chat.core.channels import Channels
from chat.core.context import Context
from chat.core.delivery import Delivery
from chat.core.operations import HeadsRead, ReadHeads, StoreOutcome
from chat.core.pending import HeadsCompared
from chat.core.people import People
from chat.core.presence import Presence

STEP_MS = 1_000
COMPARE_AT_ONCE = 500
"""Conversations and users in one query."""


class Sweep:
    """The turns of conversations and users."""

    def __init__(
        self,
        context: Context,
        channels: Channels,
        delivery: Delivery,
        people: People,
        presence: Presence,
    ) -> None:
        self._context = context
        self._channels = channels
        self._delivery = delivery
        self._people = people
        self._presence = presence
        self.armed = False
        """The next step is set."""
        self._turns: list[tuple[bool, int]] = []
        self._step = 1
        self._under_way = 0

    def arm(self) -> None:
        """Sees to it that there is a next step as long as there is anything to compare."""
        if self._context.users or self._delivery.conversations:
            self.armed = True
            self._context.deadlines.set(self._context.now_ms + STEP_MS, ("sweep", 0))

    def run(self) -> None:
        """One step."""
        self.armed = False
        self._delivery.retry()
        if self._under_way:
            return
        if not self._channels.up:
            self.compare_all()
            return
        if not self._turns:
            self._turns = self._all()
            self._step = max(1, ceil(len(self._turns) * STEP_MS / self._context.config.sweep_ms))
        turns, self._turns = self._turns[: self._step], self._turns[self._step :]
        self._compare(turns)

    def compare_all(self) -> None:
        """Gives everyone a turn now."""
        self._compare(self._all())

    def _all(self) -> list[tuple[bool, int]]:
        users = [(True, id) for id in self._context.users]
        return users + [(False, id) for id in self._delivery.conversations]

    def _compare(self, turns: list[tuple[bool, int]]) -> None:
        for start in range(0, len(turns), COMPARE_AT_ONCE):
            part = turns[start : start + COMPARE_AT_ONCE]
            users = tuple(id for is_user, id in part if is_user)
            conversations = tuple(id for is_user, id in part if not is_user)
            self._under_way += 1
            self._context.query(HeadsCompared(sweep=True), ReadHeads(conversations, users))
            if self._channels.up:
                here = self._context.users
                self._presence.compare([here[id] for id in users if id in here])

    def compared(self, record: HeadsCompared, outcome: StoreOutcome) -> None:
        if record.sweep:
            self._under_way -= 1
        if isinstance(outcome, HeadsRead):
            for id, head in outcome.conversations.items():
                self._delivery.learn(id, head)
            for id, version in outcome.versions.items():
                self._people.news(id, version)
