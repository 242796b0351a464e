"""Subjects that do the same shape in turn, so that whatever else the machine does befalls all."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bench.figures import Figure, median_of, values_of
from bench.stage import Scale
from bench.traffic import Measured


class Runs(Protocol):
    """Does a shape for a while."""

    async def run(self, outstanding: int, seconds: float) -> Measured: ...


class Contestant(NamedTuple):
    """A subject by name."""

    subject: str
    runs: Runs


async def compare(
    shape: str, contestants: Sequence[Contestant], outstanding: int, scale: Scale
) -> list[Figure]:
    """The medians over the rounds of each."""
    rounds: dict[str, list[dict[str, float]]] = {one.subject: [] for one in contestants}
    for _ in range(scale.rounds):
        for one in contestants:
            measured = await one.runs.run(outstanding, scale.seconds)
            rounds[one.subject].append(values_of(measured))
    return [median_of(shape, subject, values) for subject, values in rounds.items()]
