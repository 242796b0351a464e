"""Targets measured by turns, so that other work of the machine affects all of them alike."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from bench.results.figures import Figure, median_of
from bench.results.measurement import Measurement, values_of


class Scale(NamedTuple):
    """How much is measured: rounds, seconds of each round, and a factor for large sizes."""

    rounds: int
    seconds: float
    size: float


FULL: Final = Scale(3, 1.5, 1.0)
QUICK: Final = Scale(1, 0.5, 0.1)
TINY: Final = Scale(1, 0.05, 0.01)
"""A smoke test; the figures mean nothing."""


class Load(Protocol):
    """Puts load on one target for one round."""

    async def run(self, outstanding: int, seconds: float) -> Measurement: ...


class Target(NamedTuple):
    """A named server or configuration, and the load that is put on it."""

    name: str
    load: Load


async def compare(
    workload: str, targets: Sequence[Target], outstanding: int, scale: Scale
) -> list[Figure]:
    """Runs `scale.rounds` rounds, every target in each round; one figure of medians a target."""
    rounds: dict[str, list[dict[str, float]]] = {target.name: [] for target in targets}
    for _ in range(scale.rounds):
        for target in targets:
            measurement = await target.load.run(outstanding, scale.seconds)
            rounds[target.name].append(values_of(measurement))
    return [median_of(workload, name, values) for name, values in rounds.items()]
