"""What was said and is not settled yet.

Each text has a key that it keeps until it is settled, whatever happens to the connection; so it is
stored once. For each friend and each group there is a queue, of which only the first is under way:
what was said first is stored first, even if the node puts a text off, or the link breaks between.

A text is settled by its `sent`, by its own entry coming back under its key, or by an error that
waiting does not help.
"""

from collections import deque

from chat.core._generated.messages import ChatRequest, GroupChatRequest, Request

Target = tuple[str, int]


class Item:
    """One text on its way."""

    __slots__ = ("group", "key", "not_before_ms", "number", "re", "text", "to")

    def __init__(self, number: int, text: str, key: str, to: int | None, group: int | None) -> None:
        self.number = number
        self.text = text
        self.key = key
        self.to = to
        self.group = group
        self.re: int | None = None
        """The id of the request that is under way with it."""
        self.not_before_ms = 0

    @property
    def target(self) -> Target:
        return ("user", self.to) if self.to is not None else ("group", self.group or 0)

    def request(self, id: int) -> Request:
        if self.to is not None:
            return ChatRequest(id=id, to=self.to, text=self.text, key=self.key)
        assert self.group is not None
        return GroupChatRequest(id=id, group=self.group, text=self.text, key=self.key)


class Outbox:
    """Queues of texts, one a friend or group."""

    def __init__(self, key_prefix: str) -> None:
        self._key_prefix = key_prefix
        self._count = 0
        self._queues: dict[Target, deque[Item]] = {}
        self._by_key: dict[str, Item] = {}
        self._under_way: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, number: int, text: str, to: int | None, group: int | None) -> None:
        self._count += 1
        item = Item(number, text, f"{self._key_prefix}-{self._count}", to, group)
        self._by_key[item.key] = item
        self._queues.setdefault(item.target, deque()).append(item)

    def due(self, now_ms: int) -> list[Item]:
        """Those whose turn it is."""
        heads = (queue[0] for queue in self._queues.values())
        return [item for item in heads if item.re is None and item.not_before_ms <= now_ms]

    def next_due_ms(self) -> int | None:
        """When the next that was put off has its turn."""
        waits = [q[0].not_before_ms for q in self._queues.values() if q[0].re is None]
        return min(waits, default=None)

    def sent(self, item: Item, re: int) -> None:
        """The item went out as the request with this id."""
        item.re = re
        self._under_way[re] = item

    def replied(self, re: int) -> Item | None:
        """The item whose request got its reply."""
        item = self._under_way.pop(re, None)
        if item is not None:
            item.re = None
        return item

    def settle(self, item: Item) -> None:
        """The item is done with; the next of its queue has its turn."""
        if item.re is not None:
            del self._under_way[item.re]
        del self._by_key[item.key]
        queue = self._queues[item.target]
        queue.remove(item)
        if not queue:
            del self._queues[item.target]

    def of_key(self, key: str | None) -> Item | None:
        return None if key is None else self._by_key.get(key)

    def link_broke(self) -> None:
        """No reply is coming any more; everything has its turn again."""
        for item in self._under_way.values():
            item.re = None
        self._under_way.clear()
