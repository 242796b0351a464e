"""Mutants: bugs that are planted on purpose, to see whether the simulator finds them.

A check that never fails may be right or blind. A mutant is a small change to the code, of the kind
that a person might make; it is planted in a process of its own, and seeds are run until an
invariant fails. A mutant that survives shows what the simulator does not check.

Nothing here imports what is to be changed: a mutant must be planted before that is loaded.
"""

from typing import NamedTuple


class Edit(NamedTuple):
    """In the source of `module`, `old` stands exactly once and becomes `new`."""

    module: str
    old: str
    new: str


class Mutant(NamedTuple):
    """`what` is a sentence that says what is wrong."""

    name: str
    what: str
    edits: tuple[Edit, ...]


class Catch(NamedTuple):
    """The result of a hunt. `invariant` is None if the mutant survived all seeds."""

    name: str
    seeds: int
    """How many seeds were run, from 0 on; the last one caught it."""
    invariant: str | None
    seen: str
