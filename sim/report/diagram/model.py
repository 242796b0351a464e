"""The data of a diagram: lanes, points on them, arrows between points, and bands over lanes.

Times are in ms since the run began. What happens within one ms is spread over it in order, so that
a cause stands before its effect in the diagram, too.
"""

from msgspec import Struct

NEVER = -1.0
NOWHERE = -1


class Lane(Struct, frozen=True):
    """A party. `kind`: device, adversary, node, bus or store."""

    name: str
    kind: str


class Point(Struct, array_like=True):
    """Something that happened to a party. `kind`: event, notice, fault, healed or violation."""

    at_ms: float
    lane: int
    kind: str
    label: str
    detail: str
    entries: tuple[str, ...]


class Arrow(Struct, array_like=True):
    """A message. `kind`: request, reply, push, query, answer or bus. A lost one has `arrived_ms`
    NEVER and `target` NOWHERE; one whose sending was not recorded has `source` NOWHERE."""

    kind: str
    name: str
    label: str
    source_lane: int
    target_lane: int
    left_ms: float
    arrived_ms: float
    source: int
    target: int
    detail: str
    entries: tuple[str, ...]


class Band(Struct, array_like=True):
    """A fault: from when to when, which may be one instant."""

    kind: str
    lanes: tuple[int, ...]
    from_ms: float
    until_ms: float


class BrokenInvariant(Struct, frozen=True):
    """What was violated, and when. `entries` are those that it concerns."""

    at_ms: float
    invariant: str
    seen: str
    entries: tuple[str, ...]


class Diagram(Struct):
    """All that the page shows. `keys`: by key, the `conversation:seq` of a text."""

    title: str
    command: str
    facts: list[tuple[str, str]]
    length_ms: float
    lanes: list[Lane]
    points: list[Point]
    arrows: list[Arrow]
    bands: list[Band]
    keys: dict[str, str]
    violation: BrokenInvariant | None
