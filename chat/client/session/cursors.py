"""The device's cursors: the seq up to which each conversation has been applied.

An entry is applied if it is the next one, seq = cursor + 1. A lower seq was applied before. A
higher one means that an entry is missing, and is not applied; the session then connects again and
resumes from the cursors, which brings the missing entries.

A conversation is *followed* while the user is a member of it. A conversation that is not followed
any more keeps its cursor, since the user may come back.
"""

import enum
from collections.abc import Iterable


class Position(enum.Enum):
    """Where an entry stands relative to the cursor of its conversation."""

    NEXT = enum.auto()
    OLD = enum.auto()
    GAP = enum.auto()
    NOT_FOLLOWED = enum.auto()


class Cursors:
    """The cursors by conversation, and which conversations are followed."""

    def __init__(self) -> None:
        self._cursors: dict[int, int] = {}
        self._followed: set[int] = set()
        self._first: dict[int, None] = {}
        """Conversations whose cursors go into the next resume before all others, in order."""
        self._resumed_with: frozenset[int] = frozenset()
        """Conversations whose cursors were in the last resume."""

    def __getitem__(self, conversation: int) -> int:
        return self._cursors[conversation]

    def __contains__(self, conversation: int) -> bool:
        """Whether the conversation is followed."""
        return conversation in self._followed

    def all(self) -> dict[int, int]:
        """The cursors of the conversations that are followed."""
        return {id: seq for id, seq in self._cursors.items() if id in self._followed}

    def position(self, conversation: int, seq: int) -> Position:
        if conversation not in self._followed:
            return Position.NOT_FOLLOWED
        cursor = self._cursors[conversation]
        if seq == cursor + 1:
            return Position.NEXT
        return Position.OLD if seq <= cursor else Position.GAP

    def advance(self, conversation: int) -> None:
        """The next entry was applied."""
        self._cursors[conversation] += 1

    def roll_back(self, conversation: int, seq: int) -> None:
        """Sets an older cursor, as on a device that was restored from a backup."""
        self._cursors[conversation] = seq

    def follow(self, conversation: int, start: int, *, at_least: int = 0) -> None:
        """Follows a conversation: from its cursor if it has one, else from `start`; in either case
        from `at_least` on."""
        cursor = max(self._cursors.get(conversation, start), at_least)
        self._cursors[conversation] = cursor
        self._followed.add(conversation)

    def unfollow(self, conversation: int) -> None:
        self._followed.discard(conversation)

    def unfollow_all_but(self, conversations: Iterable[int]) -> None:
        self._followed &= set(conversations)

    # ------------------------------------------------------------------ resuming

    def for_resume(self, max_bytes: int) -> dict[int, int]:
        """The cursors to resume with, as many as fit into that many bytes of JSON: first those that
        did not fit the last time and were missed, then those of the conversations that are
        followed, then the rest."""
        order = [*self._first, *sorted(self._followed), *sorted(self._cursors)]
        chosen: dict[int, int] = {}
        for conversation in order:
            if conversation in chosen:
                continue
            max_bytes -= len(f'"{conversation}":{self._cursors[conversation]},')
            if max_bytes < 0:
                break
            chosen[conversation] = self._cursors[conversation]
        self._resumed_with = frozenset(chosen)
        return chosen

    def continues(self, conversation: int, start: int, *, resumed: bool) -> bool:
        """Whether the entries that the node pushes now continue at the cursor. The node starts
        after the cursor if that was in the resume, else after `start`. If the entries do not
        continue, this cursor goes first into the next resume."""
        from_cursor = resumed and conversation in self._resumed_with
        if from_cursor or self._cursors[conversation] >= start:
            self._first.pop(conversation, None)
            return True
        self._first[conversation] = None
        return False
