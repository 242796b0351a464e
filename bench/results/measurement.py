"""One window of load: how much was done, how fast, and at what cost."""

from collections.abc import Sequence
from typing import NamedTuple


class Measurement(NamedTuple):
    """The result of one window. Latency runs from sending a text to its arrival at the last
    receiver."""

    seconds: float
    delivered: int
    p50_us: float
    p99_us: float
    max_us: float
    cpu_us: dict[str, float]
    """By process: user and system time for each delivered text."""
    load: float
    """Share of its core that the load generator used; near 1.0 it is the bottleneck."""

    @classmethod
    def of(
        cls,
        seconds: float,
        latencies_s: Sequence[float],
        own_s: float,
        cpu_us: dict[str, float],
        delivered: int | None = None,
    ) -> "Measurement":
        """`own_s`: CPU time of the load generator. `delivered`: by default one for each latency."""
        ordered = sorted(latencies_s)
        return cls(
            seconds,
            len(ordered) if delivered is None else delivered,
            quantile(ordered, 0.5) * 1e6,
            quantile(ordered, 0.99) * 1e6,
            ordered[-1] * 1e6,
            cpu_us,
            own_s / seconds,
        )

    @property
    def rate(self) -> float:
        return self.delivered / self.seconds


def quantile(ordered: Sequence[float], share: float) -> float:
    """Quantile of sorted values; 0.0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def values_of(measurement: Measurement) -> dict[str, float]:
    values = {
        "rate": measurement.rate,
        "p50_us": measurement.p50_us,
        "p99_us": measurement.p99_us,
        "max_us": measurement.max_us,
        "load": measurement.load,
    }
    return values | {f"cpu_us.{name}": used for name, used in measurement.cpu_us.items()}
