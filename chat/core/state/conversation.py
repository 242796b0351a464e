"""Where every connection stands in one conversation.

Theory of operation
-------------------

A conversation is a log in the store, numbered 1, 2, 3 … without gaps. What this module keeps is
not the log but *positions* on it:

- `head` is the highest seq that the node knows to exist. It only grows.
- A *live* connection stands at the head. The next entry, seq = head + 1, is for all live
  connections at once, as the same bytes.
- A connection that is *behind* has a cursor, the seq up to which it was served. It is fed from
  the log until its cursor is the head; then it is live.

Connections behind at the same cursor form a *cohort*, which one read of the log serves.
So a gap (the node hears of seq 9 while the head is 7) is nothing special: the live connections
become a cohort at 7, the head becomes 9, one read brings them all back.

A connection that is *held* keeps its cursor and is not fed: its outbound buffer is full, or the
next entry is its own and the store's answer to it is still on its way.

Invariants:

1. A connection is attached at exactly one position: live (at head), or behind at a cursor <= head.
   Behind at cursor == head happens only while it is held.
2. A cursor only grows, and only by what was handed to the connection.
3. At most one read is under way for a cursor. A connection that is not held and is behind is in
   the cohort of such a read, or `demand()` names its cursor.
4. What a read brings is handed only to connections that still stand where the read began.
"""

from collections.abc import Iterable

MAX_AUDIENCES = 8
"""How many audiences a conversation keeps: those of the latest senders."""

Sides = tuple[tuple[int, ...], tuple[int, ...]]
"""The live connections of a sender, and those of all other users."""


class Conversation:
    """The head of a conversation and the position of every connection attached to it."""

    __slots__ = (
        "_audiences",
        "_cohorts",
        "_held",
        "_reading",
        "_wanted",
        "behind",
        "head",
        "id",
        "live",
    )

    def __init__(self, id: int) -> None:
        self.id = id
        self.head = 0
        self.live: dict[int, None] = {}
        self.behind: dict[int, int] = {}
        """The cursors of connections that are not live."""
        self._cohorts: dict[int, dict[int, None]] = {}
        """By cursor: the connections behind that are not held. No cohort is empty."""
        self._wanted: set[int] = set()
        """Cursors at which a cohort may stand for which no read is under way."""
        self._held: set[int] = set()
        self._reading: set[int] = set()
        self._audiences: dict[int, Sides] = {}
        """By sender. Kept until a connection becomes live, or ceases to be."""

    # ------------------------------------------------------------------ positions

    def __contains__(self, connection: int) -> bool:
        return connection in self.live or connection in self.behind

    def __len__(self) -> int:
        return len(self.live) + len(self.behind)

    def position(self, connection: int) -> int | None:
        """The seq up to which the connection was served; None if it is not attached."""
        if connection in self.live:
            return self.head
        return self.behind.get(connection)

    def connections(self) -> list[int]:
        return [*self.live, *self.behind]

    def audience(self, user: int, own: Iterable[int]) -> Sides:
        """The live connections of a user, whose connections `own` are, and those of all others. The
        same objects as long as no connection becomes live or ceases to be."""
        sides = self._audiences.get(user)
        if sides is None:
            if len(self._audiences) >= MAX_AUDIENCES:
                self._audiences.clear()
            own = dict.fromkeys([connection for connection in own if connection in self.live])
            others = tuple([connection for connection in self.live if connection not in own])
            sides = self._audiences[user] = tuple(own), others
        return sides

    # ------------------------------------------------------------------ moving

    def attach(self, connection: int, cursor: int, *, held: bool = False) -> None:
        """Puts a connection at a cursor, which must not be beyond the head."""
        assert cursor <= self.head
        assert connection not in self
        if held:
            self._held.add(connection)
        self._place(connection, cursor)

    def detach(self, connection: int) -> None:
        if connection in self.live:
            del self.live[connection]
            self._audiences.clear()
        self._unplace(connection)
        self.behind.pop(connection, None)
        self._held.discard(connection)

    def learn(self, head: int) -> None:
        """The log is at least this long. Live connections are behind if it is longer than known."""
        if head > self.head:
            if self.live:
                self.behind.update(dict.fromkeys(self.live, self.head))
                self._cohorts.setdefault(self.head, {}).update(self.live)
                self._wanted.add(self.head)
            self.live.clear()
            self._audiences.clear()
            self.head = head

    def grow(self) -> None:
        """The entry head + 1 was handed to every live connection."""
        self.head += 1

    def advance(self, connection: int, cursor: int) -> None:
        """A connection that is behind was served up to here."""
        assert self.behind[connection] <= cursor <= self.head
        self._place(connection, cursor)

    def hold(self, connection: int) -> None:
        """Feed it no further for now."""
        if connection in self.live:
            del self.live[connection]
            self._audiences.clear()
            self.behind[connection] = self.head
        self._unplace(connection)
        self._held.add(connection)

    def release(self, connection: int) -> None:
        """The reason to hold it is gone."""
        if connection in self._held:
            self._held.discard(connection)
            self._place(connection, self.behind[connection])

    def _place(self, connection: int, cursor: int) -> None:
        self._unplace(connection)
        if connection in self._held:
            self.behind[connection] = cursor
        elif cursor == self.head:
            self.behind.pop(connection, None)
            self.live[connection] = None
            self._audiences.clear()
        else:
            self.behind[connection] = cursor
            self._cohorts.setdefault(cursor, {})[connection] = None
            self._wanted.add(cursor)

    def _unplace(self, connection: int) -> None:
        """Takes it out of its cohort, if it is in one."""
        cursor = self.behind.get(connection)
        if cursor is not None:
            cohort = self._cohorts.get(cursor)
            if cohort is not None and cohort.pop(connection, self) is None and not cohort:
                del self._cohorts[cursor]

    # ------------------------------------------------------------------ reading the log

    def demand(self) -> list[int]:
        """The cursors after which the log must be read now; each is under way from here on."""
        if not self._wanted:
            return []
        cursors = sorted((self._wanted & self._cohorts.keys()) - self._reading)
        self._wanted.clear()
        self._reading.update(cursors)
        return cursors

    def first_at(self, cursor: int) -> int:
        """One of the connections that wait at this cursor, which `demand` gave."""
        return next(iter(self._cohorts[cursor]))

    def cohort(self, cursor: int) -> list[int]:
        """Ends the read after this cursor: the connections that wait there for what it brought."""
        self._reading.discard(cursor)
        self._wanted.add(cursor)
        return list(self._cohorts.get(cursor, ()))
