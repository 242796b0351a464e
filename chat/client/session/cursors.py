"""Up to where this device has applied each conversation.

An entry is applied if it is the next one: seq = cursor + 1. A lower one was applied before. A
higher one means that something is missing, and must not be applied; the session then connects
again and resumes from the cursor, which brings what is missing.

A conversation is *followed* while one is a member of it. What is not followed keeps its cursor, for
one may come back.
"""

import enum
from collections.abc import Iterable


class Place(enum.Enum):
    """Where an entry stands as seen from the cursor."""

    NEXT = enum.auto()
    SEEN = enum.auto()
    GAP = enum.auto()
    STRANGE = enum.auto()
    """The conversation is not followed."""


class Cursors:
    def __init__(self) -> None:
        self._cursors: dict[int, int] = {}
        self._followed: set[int] = set()
        self._urgent: dict[int, None] = {}
        self._named: frozenset[int] = frozenset()

    def __getitem__(self, conversation: int) -> int:
        return self._cursors[conversation]

    def __contains__(self, conversation: int) -> bool:
        return conversation in self._followed

    def all(self) -> dict[int, int]:
        """The cursors of the conversations that are followed."""
        return {id: seq for id, seq in self._cursors.items() if id in self._followed}

    def place(self, conversation: int, seq: int) -> Place:
        if conversation not in self._followed:
            return Place.STRANGE
        cursor = self._cursors[conversation]
        if seq == cursor + 1:
            return Place.NEXT
        return Place.SEEN if seq <= cursor else Place.GAP

    def advance(self, conversation: int) -> None:
        """The next entry was applied."""
        self._cursors[conversation] += 1

    def roll_back(self, conversation: int, seq: int) -> None:
        """Sets an older cursor, as on a device that was restored from a backup."""
        self._cursors[conversation] = seq

    def follow(self, conversation: int, start: int, *, at_least: int = 0) -> None:
        """Follows from `start` if the conversation was never seen, and else from where it was;
        but from `at_least` on in either case."""
        cursor = max(self._cursors.get(conversation, start), at_least)
        self._cursors[conversation] = cursor
        self._followed.add(conversation)

    def leave(self, conversation: int) -> None:
        self._followed.discard(conversation)

    def leave_all_but(self, conversations: Iterable[int]) -> None:
        self._followed &= set(conversations)

    # ------------------------------------------------------------------ resuming

    def to_name(self, room_bytes: int) -> dict[int, int]:
        """The cursors to resume with, as many as fit into that many bytes of JSON: first those that
        were missed the last time, then those that are followed."""
        order = [*self._urgent, *sorted(self._followed), *sorted(self._cursors)]
        named: dict[int, int] = {}
        for conversation in order:
            if conversation in named:
                continue
            room_bytes -= len(f'"{conversation}":{self._cursors[conversation]},')
            if room_bytes < 0:
                break
            named[conversation] = self._cursors[conversation]
        self._named = frozenset(named)
        return named

    def joins_on(self, conversation: int, start: int, *, resumed: bool) -> bool:
        """Whether what comes now joins on to the cursor. The node starts at `start`, unless one
        resumed and named the cursor. If not, the cursor is to be named first the next time."""
        named = resumed and conversation in self._named
        if named or self._cursors[conversation] >= start:
            self._urgent.pop(conversation, None)
            return True
        self._urgent[conversation] = None
        return False
