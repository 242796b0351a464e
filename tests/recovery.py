"""How long texts took after a fault.

Of each fault count the texts that were under way when it began, or were said while the part was
away or in the `AFTER_S` after. The time of a text is counted from when it was said. If that was
earlier than the fault's *origin*, it is counted from there:

- The origin is the kill if other parts serve in the place of the one that is away: a node or Redis.
- It is the return of the part if nothing serves in its place: the database or the balancer. What
  is said while it is away cannot be stored before.

Two times are taken: until the sender has `sent`, and until the last device has the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

AFTER_S: Final = 5.0
AIM_SENT_S: Final = 3.0
AIM_SEEN_S: Final = 4.0
"""What is aimed at for every part that is killed or drained. A node that is stopped takes longer:
it is found by its silence, and the balancer, which cannot tell, gives it its share of the dials."""


class TextTimes(NamedTuple):
    """When a text was said, had its `sent`, and was on the last device."""

    at_s: float
    settled_s: float
    seen_s: float


@dataclass
class Fault:
    """A fault, from when to when a part was away, and the times of the texts."""

    what: str
    from_s: float
    to_s: float
    stands_alone: bool = False
    """Nothing serves in the place of the part."""
    sent_s: list[float] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)

    @property
    def origin_s(self) -> float:
        return self.to_s if self.stands_alone else self.from_s


def measure(faults: Sequence[Fault], texts: Sequence[TextTimes]) -> None:
    """Adds the times of the texts to each fault that they count for."""
    for fault in faults:
        for text in texts:
            if text.at_s > fault.to_s + AFTER_S:
                continue
            since_s = max(text.at_s, fault.origin_s)
            if text.settled_s > fault.from_s:
                fault.sent_s.append(max(0.0, text.settled_s - since_s))
            if text.seen_s > fault.from_s:
                fault.seen_s.append(max(0.0, text.seen_s - since_s))


def beyond_aim(faults: Sequence[Fault]) -> list[str]:
    """A sentence for each part that was killed and took longer than is aimed at."""
    sentences = []
    for fault in faults:
        sent_s, seen_s = max(fault.sent_s, default=0.0), max(fault.seen_s, default=0.0)
        is_slow = sent_s > AIM_SENT_S or seen_s > AIM_SEEN_S
        if is_slow and "SIGSTOP" not in fault.what:
            sentences.append(
                f"{fault.what} took {sent_s:.1f} s to `sent` and {seen_s:.1f} s to the last "
                f"device; {AIM_SENT_S:g} s and {AIM_SEEN_S:g} s are aimed at"
            )
    return sentences


def table(faults: Sequence[Fault]) -> str:
    """A row for each kind of fault: the longest time that the part was away, and p99 and maximum
    of the times of all its texts."""
    lines = [
        f"{'':26} {'':5} {'':6} {'to `sent`, s':>15} {'to last device, s':>18}",
        f"{'fault':26} {'times':>5} {'away s':>6} {'p99':>8}{'max':>7} {'p99':>11}{'max':>7}  from",
    ]
    for what in dict.fromkeys(fault.what for fault in faults):
        alike = [fault for fault in faults if fault.what == what]
        away_s = max(fault.to_s - fault.from_s for fault in alike)
        sent_s = sorted(time for fault in alike for time in fault.sent_s) or [0.0]
        seen_s = sorted(time for fault in alike for time in fault.seen_s) or [0.0]
        lines.append(
            f"{what:26} {len(alike):5} {away_s:6.1f} {_p99(sent_s):8.2f}{sent_s[-1]:7.2f} "
            f"{_p99(seen_s):11.2f}{seen_s[-1]:7.2f}  "
            f"{'return' if alike[0].stands_alone else 'kill'}"
        )
    return "\n".join(lines)


def _p99(ascending: Sequence[float]) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * 99 // 100)]
