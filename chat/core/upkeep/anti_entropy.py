"""Asking the store what the bus may have failed to tell.

Every second a part of all conversations and users that are followed here has its heads and versions
compared with the store, so that each has its turn once in `sweep_ms`; the states of the users'
friends are asked for along with it. A turn that could not be read comes again at the next step.
While the bus is down all are compared every second. A head that is higher than known starts a
catch-up, as any hint does: the sweep has no delivery of its own.
"""

from collections.abc import Iterable
from typing import TypeAlias

from chat.core.delivery.fan_out import FanOut
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.operations import HeadsRead, ReadHeads, StoreOutcome
from chat.core.roster.presence import Presence
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context
from chat.core.state.pending import HeadsCompared

STEP_MS = 1_000
COMPARE_AT_ONCE = 500
"""Conversations, and users, in one query."""

Turn: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Users and conversations that are compared in one step."""


class AntiEntropy:
    """The turns of conversations and users."""

    def __init__(
        self,
        context: Context,
        channels: Subscriptions,
        delivery: FanOut,
        people: RosterSync,
        presence: Presence,
    ) -> None:
        self._context = context
        self._channels = channels
        self._delivery = delivery
        self._people = people
        self._presence = presence
        self.armed = False
        """The next step is set."""
        self._turns: list[Turn] = []
        """Those that are left of a round, the next one last."""
        self._turn: Turn = ((), ())
        """The one that was last begun."""
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
            self._turns = self._round()
        if self._turns:
            self._turn = self._turns.pop()
            self._compare(*self._turn)

    def compare_all(self) -> None:
        """Gives everyone a turn now."""
        self._compare(tuple(self._context.users), tuple(self._delivery.conversations))

    def _round(self) -> list[Turn]:
        """A turn for each, in at most as many steps as there are within `sweep_ms`. Which one it is
        follows from the number, so that whoever stays has the next turn no later than that,
        however many come and go."""
        steps = max(1, self._context.config.sweep_ms // STEP_MS)
        users, conversations = self._context.users, self._delivery.conversations
        turns = zip(_parts(users, steps), _parts(conversations, steps), strict=True)
        return [turn for turn in turns if any(turn)][::-1]

    def _compare(self, users: tuple[int, ...], conversations: tuple[int, ...]) -> None:
        here = self._context.users
        for start in range(0, max(len(users), len(conversations)), COMPARE_AT_ONCE):
            end = start + COMPARE_AT_ONCE
            asked = users[start:end]
            self._under_way += 1
            self._context.query(
                HeadsCompared(sweep=True), ReadHeads(conversations[start:end], asked)
            )
            if self._channels.up:
                self._presence.compare([here[id] for id in asked if id in here])

    def compared(self, record: HeadsCompared, outcome: StoreOutcome) -> None:
        if record.sweep:
            self._under_way -= 1
            if not isinstance(outcome, HeadsRead) and self._turn not in self._turns:
                self._turns.append(self._turn)
        if isinstance(outcome, HeadsRead):
            for id, head in outcome.conversations.items():
                self._delivery.learn(id, head)
            for id, version in outcome.versions.items():
                self._people.news(id, version)


def _parts(ids: Iterable[int], count: int) -> list[tuple[int, ...]]:
    parts: list[list[int]] = [[] for _ in range(count)]
    for id in ids:
        parts[id % count].append(id)
    return list(map(tuple, parts))
