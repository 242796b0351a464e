"""Read marks on their way to the node.

What the person was shown is gathered per conversation, and only the latest is said: one
`mark_read` in flight a conversation, and not more often than every `every_ms`. A mark never goes
back.
"""

from msgspec import Struct


class _Mark(Struct):
    shown: int = 0
    known: int = 0
    """The node has this mark, as far as is known."""
    in_flight: int = 0
    not_before_ms: int = 0


class Marks:
    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._marks: dict[int, _Mark] = {}
        self._open: dict[int, None] = {}
        """Conversations of which something is still to be said."""

    def show(self, conversation: int, seq: int) -> None:
        mark = self._mark(conversation)
        mark.shown = max(mark.shown, seq)
        self._note(conversation, mark)

    def learn(self, conversation: int, seq: int) -> None:
        """The node has this mark: it said so, or another device was there."""
        mark = self._mark(conversation)
        mark.known = max(mark.known, seq)
        self._note(conversation, mark)

    def known(self, conversation: int) -> int:
        """The highest mark the node is known to have."""
        mark = self._marks.get(conversation)
        return 0 if mark is None else mark.known

    def take(self, now_ms: int, *, all_now: bool = False) -> list[tuple[int, int]]:
        """(conversation, seq) of what is to be said now; in flight from here on. `all_now` does
        not wait for the time or for earlier answers."""
        taken = []
        for conversation in list(self._open):
            mark = self._marks[conversation]
            waits = mark.in_flight or mark.not_before_ms > now_ms
            if (all_now and mark.in_flight < mark.shown) or not waits:
                mark.in_flight = mark.shown
                mark.not_before_ms = now_ms + self._every_ms
                taken.append((conversation, mark.shown))
        return taken

    def answered(self, conversation: int, seq: int) -> None:
        self._mark(conversation).in_flight = 0
        self.learn(conversation, seq)

    def refused(self, conversation: int, retry_at_ms: int | None) -> None:
        """Not before then; or never, if one is not a member any more."""
        mark = self._mark(conversation)
        mark.in_flight = 0
        if retry_at_ms is None:
            mark.shown = mark.known
        else:
            mark.not_before_ms = retry_at_ms
        self._note(conversation, mark)

    def connection_lost(self) -> None:
        for mark in self._marks.values():
            mark.in_flight = 0

    def next_deadline_ms(self, now_ms: int) -> int | None:
        if not self._open:
            return None
        times = [
            self._marks[conversation].not_before_ms
            for conversation in self._open
            if not self._marks[conversation].in_flight
        ]
        return min([time for time in times if time > now_ms], default=None)

    def _mark(self, conversation: int) -> _Mark:
        return self._marks.setdefault(conversation, _Mark())

    def _note(self, conversation: int, mark: _Mark) -> None:
        if mark.shown > mark.known:
            self._open[conversation] = None
        else:
            self._open.pop(conversation, None)
