"""What a diagram is made of: lanes, points on them, arrows between them, and bands over them.

Times are ms since the run began. Things of one ms are spread over it in their order, so that cause
comes before effect in the picture, too.
"""

from msgspec import Struct

NEVER = -1.0
NOWHERE = -1


class Lane(Struct, frozen=True):
    """A party. `kind`: device, stranger, node, bus or store."""

    name: str
    kind: str


class Point(Struct, array_like=True):
    """Something happened to a party. `kind`: event, notice, fault, healed or violation."""

    at_ms: float
    lane: int
    kind: str
    words: str
    detail: str
    entries: tuple[str, ...]


class Arrow(Struct, array_like=True):
    """A message. `kind`: request, reply, push, query, answer or bus. `arrived_ms` is NEVER, and
    `target` NOWHERE, if it was lost; the source is NOWHERE if it left unseen."""

    kind: str
    name: str
    words: str
    source_lane: int
    target_lane: int
    left_ms: float
    arrived_ms: float
    source: int
    target: int
    detail: str
    entries: tuple[str, ...]


class Band(Struct, array_like=True):
    """A fault that lasts, or strikes at one instant."""

    kind: str
    lanes: tuple[int, ...]
    from_ms: float
    until_ms: float


class Broken(Struct, frozen=True):
    """What was violated, and when. `entries` are those that are spoken of."""

    at_ms: float
    invariant: str
    seen: str
    entries: tuple[str, ...]


class Picture(Struct):
    """All that the page shows. `keys`: the place of each text whose key is known."""

    title: str
    command: str
    facts: list[tuple[str, str]]
    length_ms: float
    lanes: list[Lane]
    points: list[Point]
    arrows: list[Arrow]
    bands: list[Band]
    keys: dict[str, str]
    violation: Broken | None
