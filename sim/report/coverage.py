"""Coverage: which cells of the state table, and which facts, one run or many have reached.

A check that passes says little if what it checks never came about. So the default run fails if a
reachable cell was never looked up, or a fact never came about.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.protocol.rules import Input, State
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.report import cells, facts
from sim.report.cells import REACHABLE
from sim.report.facts import FACTS, Facts


class Coverage:
    """Counts of one run, as an observer of its cluster; or the sums of many, by `merge`."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], int] = {}
        self._facts = Facts()

    @property
    def facts(self) -> dict[str, int]:
        return self._facts.counts

    def merge(self, cells: dict[tuple[int, int], int], facts: dict[str, int]) -> None:
        for cell, count in cells.items():
            self.cells[cell] = self.cells.get(cell, 0) + count
        for name, count in facts.items():
            self._facts.count(name, count)

    def missing_cells(self) -> list[str]:
        """The reachable cells that were not reached, as `STATE × input`."""
        missing = sorted(REACHABLE - {(State(s), Input(i)) for s, i in self.cells})
        return [f"{state.name} × {input.name.lower()}" for state, input in missing]

    def missing_facts(self) -> list[str]:
        return [sentence for name, sentence in FACTS.items() if not self.facts[name]]

    # ------------------------------------------------------------------ as an observer

    def attached(self, cluster: Cluster) -> None:
        self._facts.attached(cluster)

    def node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        self._facts.node_handled(host, event, effects)

    def device_effect(self, device: SimDevice, effect: ClientEffect) -> None:
        self._facts.device_effect(device, effect)

    def run_ended(self) -> None:
        self._facts.run_ended()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts what no observer is told. One at a time in a process."""
        with cells.counting(self.cells), facts.watching(self._facts):
            yield
