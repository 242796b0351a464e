"""Bugs that are planted on purpose, to see whether the simulator finds them.

A check that never fails may be right or blind. So each mutant is a small change to code that
stands, of the kind a person might make; it is planted in a process of its own, and seeds are run
until something is violated. A mutant that survives says that the simulator does not look there.

Nothing here imports what is to be changed: a mutant has to be planted before that is loaded.
"""

from typing import NamedTuple


class Edit(NamedTuple):
    """In the source of `module`, `old` stands exactly once and becomes `new`."""

    module: str
    old: str
    new: str


class Mutant(NamedTuple):
    """`what` says in a sentence what goes wrong."""

    name: str
    what: str
    edits: tuple[Edit, ...]


class Catch(NamedTuple):
    """What became of a mutant. `invariant` is None if it survived all the seeds."""

    name: str
    seeds: int
    """How many seeds were run, from 0 on; the last one is the one that caught it."""
    invariant: str | None
    seen: str
