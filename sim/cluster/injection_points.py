"""Injection points: the phases of a text's way at which a fault can be injected.

Seen from a node, a text is *queued* behind another write, *in the transaction*, *committed* with
the node not told yet, *answered* to its sender and not yet published, *published* and not yet
received by another node, and *delivered* into a connection and not yet read. The parts of the
cluster report when a text enters a phase; a fault that waits for the phase is injected at once,
before the phase ends.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from sim.cluster.network import SimConnection
from sim.cluster.world import World


class Phase(StrEnum):
    """Where a text is on its way."""

    QUEUED = "queued"
    IN_TRANSACTION = "in the transaction"
    COMMITTED = "committed, unanswered"
    ANSWERED = "answered, unpublished"
    PUBLISHED = "published, undelivered"
    DELIVERED = "delivered, unread"


class InjectionTarget(NamedTuple):
    """Where the text is: at a node, with its sender if known, or in a connection of the node.

    An empty `node` leaves the choice to the injector.
    """

    node: str
    sender: int | None = None
    connection: SimConnection | None = None


Inject = Callable[[InjectionTarget], None]


class InjectionPoints:
    """The faults that wait for a phase; each text that enters it triggers one, first come first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[Phase, deque[Inject]] = {}

    def wait(self, phase: Phase, inject: Inject) -> None:
        """Calls `inject` when a text next enters the phase."""
        self._waiting.setdefault(phase, deque()).append(inject)

    def clear(self) -> None:
        """Forgets all faults that wait."""
        self._waiting.clear()

    def awaited(self, phase: Phase) -> bool:
        return phase in self._waiting

    def reached(self, phase: Phase, target: InjectionTarget) -> None:
        """A text enters the phase. Call it before anything that ends the phase is scheduled, so
        that the fault comes first."""
        waiting = self._waiting.get(phase)
        if waiting:
            self._world.later(0, waiting.popleft(), target)
            if not waiting:
                del self._waiting[phase]
