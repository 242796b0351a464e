"""What the writer of a node remembers of the store, so as not to ask for it before each append.

Names, and the conversations of two users, never change once they are there; whoever has seen one
knows it for good. Two things do change, and each is remembered along with what tells whether it
still holds:

- *Who may write* to a conversation holds for one `access_version` of its row. Every transaction
  that changes it raises the version under the row's lock.
- *The head* is where the last append of this node left it. It may have been raised by another node
  since, or by somebody who joined.

An append that goes by memory is *optimistic*: it takes the remembered head and version for
granted, and its first statement, which locks the row, fails if either is not so any more (`Stale`).
Then nothing was stored, and the batch goes the long way, which locks first and asks afterwards.

So what is outdated costs no more than a vain attempt. A database that knows less than before, as
one that was restored does, is another matter: whoever opens a new connection begins with an empty
memory. To keep vain attempts few, a conversation is taken for granted only while nobody else
was found to have raised its head; and after a batch that failed the next ones go the long way, the
more of them, the more failed in a row.
"""

from typing import Final, TypeAlias

from chat.core.ports.operations import Append

MOST: Final = 100_000
"""How many names, pairs or writers are remembered; all are forgotten when there are more."""

MOST_CAUTION: Final = 64
"""Most batches that go the long way because of those that failed."""

Place: TypeAlias = tuple[int, int | str | None, int | None]
"""Who appends, to whom, in which group. A batch has few of them, however long it is."""


class Remembered:
    """A conversation. `writers`: sender and recipient (0 in a group) of those who may write there
    at that version. `is_ours`: no other node seems to write there."""

    __slots__ = ("access_version", "head", "is_ours", "writers")

    def __init__(self, head: int, access_version: int) -> None:
        self.head = head
        self.access_version = access_version
        self.is_ours = True
        self.writers: set[tuple[int, int]] = set()


class AppendCache:
    """Of one writer and one connection."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        """Users by their name in lower case."""
        self.pairs: dict[tuple[int, int], int] = {}
        """The conversations between two users, lower number first."""
        self.conversations: dict[int, Remembered] = {}
        self._writers = 0
        self._caution = 0
        self._last_caution = 0

    def learn_names(self, names: dict[str, int]) -> None:
        if len(self.names) > MOST:
            self.names.clear()
        self.names.update(names)

    def learn_pairs(self, pairs: dict[tuple[int, int], int]) -> None:
        if len(self.pairs) > MOST:
            self.pairs.clear()
        self.pairs.update(pairs)

    def learn_conversation(
        self,
        conversation: int,
        before: int,
        head: int,
        access_version: int,
        writers: set[tuple[int, int]],
    ) -> None:
        """What a committed transaction found under the lock, and the head it left."""
        if self._writers > MOST or len(self.conversations) > MOST:
            self.conversations.clear()
            self._writers = 0
        remembered = self.conversations.get(conversation)
        if remembered is None:
            remembered = self.conversations[conversation] = Remembered(head, access_version)
        else:
            remembered.is_ours = remembered.head == before
        if remembered.access_version != access_version:
            self._writers -= len(remembered.writers)
            remembered.writers.clear()
        self._writers += len(writers - remembered.writers)
        remembered.writers |= writers
        remembered.head = head
        remembered.access_version = access_version

    def find_target(self, place: Place) -> tuple[int, int | None] | None:
        """The conversation and the recipient (None in a group), if this sender may write there by
        all that is remembered and nobody else seems to."""
        sender, to, group = place
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
        remembered = self.conversations.get(conversation)
        if remembered is None or not remembered.is_ours:
            return None
        if (sender, recipient or 0) not in remembered.writers:
            return None
        return conversation, recipient

    def has_writer(self, conversation: int, sender: int, recipient: int) -> bool:
        """Whether this sender may write there at the remembered version; recipient 0: a group."""
        remembered = self.conversations.get(conversation)
        return remembered is not None and (sender, recipient) in remembered.writers

    def dares(self) -> bool:
        """Whether the next batch may go by memory."""
        if self._caution:
            self._caution -= 1
            return False
        return True

    def held(self, heads: dict[int, int]) -> None:
        """A batch that went by memory was committed and left these heads."""
        for conversation, head in heads.items():
            self.conversations[conversation].head = head
        self._last_caution = 0

    def failed(self) -> None:
        """What a batch took for granted was not so."""
        self._caution = self._last_caution = min(MOST_CAUTION, 2 * self._last_caution or 1)


def place_of(append: Append) -> Place:
    return append.sender, append.to, append.group


def pair(one: int, other: int) -> tuple[int, int]:
    """Lower number first."""
    return (one, other) if one < other else (other, one)
