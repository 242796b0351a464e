"""Read marks on their way to the node.

Per conversation only the latest mark is sent: at most one `mark_read` in flight, and none sooner
than `every_ms` after the one before. A mark never goes back.
"""

from msgspec import Struct


class _ReadMark(Struct):
    """The mark of one conversation, as a seq."""

    wanted: int = 0
    """The user has seen the conversation up to here."""
    confirmed: int = 0
    """The highest mark that the node is known to have."""
    in_flight: int = 0
    """The mark that was sent and is not answered; 0 if there is none."""
    not_before_ms: int = 0


class ReadMarks:
    """The marks of all conversations. Between two marks of one, `every_ms` pass."""

    def __init__(self, every_ms: int) -> None:
        self._every_ms = every_ms
        self._marks: dict[int, _ReadMark] = {}
        self._open: dict[int, None] = {}
        """Conversations whose wanted mark is not confirmed."""

    def __len__(self) -> int:
        """Conversations of which a mark is known."""
        return len(self._marks)

    def want(self, conversation: int, seq: int) -> None:
        """The user has seen the conversation up to this seq."""
        mark = self._mark(conversation)
        mark.wanted = max(mark.wanted, seq)
        self._update_open(conversation, mark)

    def confirm(self, conversation: int, seq: int) -> None:
        """The node has this mark, from this device or another."""
        mark = self._mark(conversation)
        mark.confirmed = max(mark.confirmed, seq)
        self._update_open(conversation, mark)

    def confirmed(self, conversation: int) -> int:
        """The highest mark that the node is known to have; 0 if none is known."""
        mark = self._marks.get(conversation)
        return 0 if mark is None else mark.confirmed

    def take(self, now_ms: int, *, all_now: bool = False) -> list[tuple[int, int]]:
        """(conversation, seq) of the marks to send now; they count as in flight from here on.
        `all_now` waits neither for the time nor for earlier answers."""
        taken = []
        for conversation in list(self._open):
            mark = self._marks[conversation]
            waits = mark.in_flight or mark.not_before_ms > now_ms
            if (all_now and mark.in_flight < mark.wanted) or not waits:
                mark.in_flight = mark.wanted
                mark.not_before_ms = now_ms + self._every_ms
                taken.append((conversation, mark.wanted))
        return taken

    def accepted(self, conversation: int, seq: int) -> None:
        """The node has taken the mark in flight."""
        self._mark(conversation).in_flight = 0
        self.confirm(conversation, seq)

    def refused(self, conversation: int, retry_at_ms: int | None) -> None:
        """The node has refused the mark in flight. It is sent again at that time; None if it is
        given up, since the user is not a member any more."""
        mark = self._mark(conversation)
        mark.in_flight = 0
        if retry_at_ms is None:
            mark.wanted = mark.confirmed
        else:
            mark.not_before_ms = retry_at_ms
        self._update_open(conversation, mark)

    def connection_lost(self) -> None:
        for mark in self._marks.values():
            mark.in_flight = 0

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """When a mark that waits for its time may be sent; marks that may be sent now do not
        count."""
        if not self._open:
            return None
        times = [
            self._marks[conversation].not_before_ms
            for conversation in self._open
            if not self._marks[conversation].in_flight
        ]
        return min([time for time in times if time > now_ms], default=None)

    def _mark(self, conversation: int) -> _ReadMark:
        return self._marks.setdefault(conversation, _ReadMark())

    def _update_open(self, conversation: int, mark: _ReadMark) -> None:
        if mark.wanted > mark.confirmed:
            self._open[conversation] = None
        else:
            self._open.pop(conversation, None)
