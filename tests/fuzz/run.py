"""Feeds lines to the targets. A failure names the seed and the line."""

from collections.abc import Callable
from typing import Final

from tests.fuzz.lines import Lines
from tests.fuzz.targets import ClientTarget, NodeTarget, decode, decode_server
from tests.protocol import model

SHARES: Final = {"decode": 0.45, "server messages": 0.3, "client": 0.15, "node": 0.1}
"""Of the lines, by target: a line costs a session more than a decoder."""
TARGETS: Final = tuple(SHARES)


class LineFailed(AssertionError):
    """A line that a target did not take; the text has the seed and its number."""


def fuzz(name: str, lines: int, seed: int) -> int:
    """Feeds this target its share of that many lines; how many that were. Raises LineFailed."""
    of_node = name in ("decode", "node")
    drawn = Lines(model.REQUESTS if of_node else model.SERVER_MESSAGES, seed)
    run = _target(name, drawn)
    count = int(lines * SHARES[name])
    for number in range(count):
        try:
            run()
        except Exception as error:
            raise LineFailed(f"{name}, seed {seed}, line {number}: {drawn.last[:200]!r}") from error
    return count


def _target(name: str, lines: Lines) -> Callable[[], None]:
    match name:
        case "node":
            return NodeTarget(lines).run
        case "client":
            return ClientTarget(lines).run
        case "decode":
            return lambda: decode(lines)
        case _:
            return lambda: decode_server(lines)
