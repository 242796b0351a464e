"""The moments of a message's life at which a fault can be made to strike.

From a node's point of view a text is *queued* for the store, *in the transaction*, *committed* and
the node not told yet, *answered* to its sender and not yet published, *published* and not yet heard
by another node, and *delivered* into a connection and not yet read. The parts of the cluster
say when a text enters one of these; a fault that waits for it strikes at once, before the
moment is over.
"""

from collections.abc import Callable
from enum import StrEnum

from sim.network import Wire
from sim.world import World


class Phase(StrEnum):
    """Where a text is on its way."""

    QUEUED = "queued"
    IN_TRANSACTION = "in the transaction"
    COMMITTED = "committed, unanswered"
    ANSWERED = "answered, unpublished"
    PUBLISHED = "published, undelivered"
    DELIVERED = "delivered, unread"


Aim = Callable[[str, Wire | None], None]
"""Strikes, given the name of the node that has the text, and the connection, if it is in one."""


class Moments:
    """Who waits for which moment; at most one for each phase."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[Phase, Aim] = {}

    def wait(self, phase: Phase, strike: Aim) -> bool:
        """Has the fault strike when a text enters the phase next; False if another waits."""
        if phase in self._waiting:
            return False
        self._waiting[phase] = strike
        return True

    def forget(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()

    def reached(self, phase: Phase, node: str, wire: Wire | None = None) -> None:
        """A text enters the phase. To be called before whatever ends the phase is put in the
        world's queue, so that the fault comes first."""
        if self._waiting:
            strike = self._waiting.pop(phase, None)
            if strike is not None:
                self._world.later(0, strike, node, wire)
