"""The moments of a message's life at which a fault can be made to strike.

From a node's point of view a text is *queued* behind another write on its way to the store, *in the
transaction*, *committed* and the node not told yet, *answered* to its sender and not yet
published, *published* and not yet heard by another node, and *delivered* into a connection and
not yet read. The parts of the cluster say when a text enters one of these; a fault that waits for
it strikes at once, before the moment is over.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from sim.cluster.network import Wire
from sim.cluster.world import World


class Phase(StrEnum):
    """Where a text is on its way."""

    QUEUED = "queued"
    IN_TRANSACTION = "in the transaction"
    COMMITTED = "committed, unanswered"
    ANSWERED = "answered, unpublished"
    PUBLISHED = "published, undelivered"
    DELIVERED = "delivered, unread"


class Place(NamedTuple):
    """Who has the text: a node, for a sender if that is known, or a connection of the node."""

    node: str
    sender: int | None = None
    wire: Wire | None = None


Aim = Callable[[Place], None]
"""Strikes there."""


class Moments:
    """Who waits for which moment; one strikes at a time, in the order in which they came."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[Phase, deque[Aim]] = {}

    def wait(self, phase: Phase, strike: Aim) -> None:
        """Has the fault strike when a text enters the phase next."""
        self._waiting.setdefault(phase, deque()).append(strike)

    def forget(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()

    def awaited(self, phase: Phase) -> bool:
        return phase in self._waiting

    def reached(self, phase: Phase, place: Place) -> None:
        """A text enters the phase. To be called before whatever ends the phase is put in the
        world's queue, so that the fault comes first."""
        waiting = self._waiting.get(phase)
        if waiting:
            self._world.later(0, waiting.popleft(), place)
            if not waiting:
                del self._waiting[phase]
