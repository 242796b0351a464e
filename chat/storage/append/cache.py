"""The append cache: what one writer knows of the store, so that it need not ask before each append.

Names, and the conversations of two users, never change once they exist, so a cached one is always
right. Two things do change, and each is cached with what tells whether it is still right:

- *Who may write* to a conversation holds for one `access_version` of its row. Every transaction
  that changes it raises the version under the row's lock.
- *The head* is where the last append of this writer left it. Another node, or a user who joined,
  may have raised it since.

A batch that is cached in full is stored by optimistic concurrency control: it speculates on the
cached heads and versions, its first statement verifies them, and if one is stale nothing is stored
and the batch falls back to locking and asking (see batch.py). So a stale cache costs a wasted
attempt and never a wrong answer.

Wasted attempts are kept few in two ways. A conversation is speculated on only while no other writer
was found to have raised its head. And after a batch that was stale the next ones do not speculate:
one batch at first, twice as many each time in a row (exponential backoff), MAX_BACKOFF at most.

Verifying is no protection against a database that knows less than before, as one that was restored
from a backup does: the same head may then stand for another log. So a cache lives no longer than
its connection.
"""

from typing import Final, TypeAlias

from chat.core.ports.operations import Append

MAX_CACHED: Final = 100_000
"""Most names, pairs or writers in the cache; the cache is emptied of them when there are more."""

MAX_BACKOFF: Final = 64
"""Most batches that do not speculate after one that was stale."""

Route: TypeAlias = tuple[int, int | str | None, int | None]
"""How an append is addressed: sender, the user it goes to, the group it goes to. A batch has few
routes, however many appends it has."""

CachedDestination: TypeAlias = tuple[int, int | None]
"""What a route leads to: conversation, and recipient (None in a group)."""


class CachedConversation:
    """`writers`: sender and recipient (0 in a group) of all who are known to be allowed to write at
    `access_version`. `is_contended`: another writer was seen to raise the head."""

    __slots__ = ("access_version", "head", "is_contended", "writers")

    def __init__(self, head: int, access_version: int) -> None:
        self.head = head
        self.access_version = access_version
        self.is_contended = False
        self.writers: set[tuple[int, int]] = set()


class AppendCache:
    """Of one writer and one connection."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        """Users by their name in lower case."""
        self.pairs: dict[tuple[int, int], int] = {}
        """The conversations between two users, lower number first."""
        self.conversations: dict[int, CachedConversation] = {}
        self._writers = 0
        self._backoff = 0
        self._last_backoff = 0

    def add_names(self, names: dict[str, int]) -> None:
        if len(self.names) > MAX_CACHED:
            self.names.clear()
        self.names.update(names)

    def add_pairs(self, pairs: dict[tuple[int, int], int]) -> None:
        if len(self.pairs) > MAX_CACHED:
            self.pairs.clear()
        self.pairs.update(pairs)

    def update_conversation(
        self,
        conversation: int,
        before: int,
        head: int,
        access_version: int,
        writers: set[tuple[int, int]],
    ) -> None:
        """A committed transaction found the head `before` and that version under the lock, some
        who may write, and left `head`."""
        if self._writers > MAX_CACHED or len(self.conversations) > MAX_CACHED:
            self.conversations.clear()
            self._writers = 0
        cached = self.conversations.get(conversation)
        if cached is None:
            cached = self.conversations[conversation] = CachedConversation(head, access_version)
        else:
            cached.is_contended = cached.head != before
        if cached.access_version != access_version:
            self._writers -= len(cached.writers)
            cached.writers.clear()
        self._writers += len(writers - cached.writers)
        cached.writers |= writers
        cached.head = head
        cached.access_version = access_version

    def find_destination(self, route: Route) -> CachedDestination | None:
        """Where the route leads, if by the cache this sender may write there and no other writer
        does."""
        sender, to, group = route
        if group is not None:
            conversation, recipient = group, None
        else:
            recipient = self.names.get(to.lower()) if isinstance(to, str) else to
            if recipient is None:
                return None
            found = self.pairs.get(pair(sender, recipient))
            if found is None:
                return None
            conversation = found
        cached = self.conversations.get(conversation)
        if cached is None or cached.is_contended:
            return None
        if (sender, recipient or 0) not in cached.writers:
            return None
        return conversation, recipient

    def has_writer(self, conversation: int, sender: int, recipient: int) -> bool:
        """Whether this sender may write there at the cached version; recipient 0: a group."""
        cached = self.conversations.get(conversation)
        return cached is not None and (sender, recipient) in cached.writers

    def may_speculate(self) -> bool:
        """Whether the next batch may. To be asked once for each batch: it counts the backoff."""
        if self._backoff:
            self._backoff -= 1
            return False
        return True

    def verified(self, heads: dict[int, int]) -> None:
        """A batch that speculated was committed and left these heads."""
        for conversation, head in heads.items():
            self.conversations[conversation].head = head
        self._last_backoff = 0

    def found_stale(self) -> None:
        """A batch that speculated failed to verify what it took from the cache."""
        self._backoff = self._last_backoff = min(MAX_BACKOFF, 2 * self._last_backoff or 1)


def route_of(append: Append) -> Route:
    return append.sender, append.to, append.group


def pair(one: int, other: int) -> tuple[int, int]:
    """Lower number first."""
    return (one, other) if one < other else (other, one)
