"""Sends that are not settled yet.

Theory of operation
-------------------

A send is settled by `sent`, by its own entry coming back with its key, or by an error that waiting
does not help. Until then it stays here under its key, and after each reconnect it is sent
again under that key; the store knows a key it has seen, so nothing is stored twice.

Each target (a friend or a group) has a queue of its own, and only its first item may be in
flight. So a send that has to wait (`rate_limited`, say) holds back what was said after it to
the same people, and nothing else: the log has what one device sent in the order it was typed.

A friend may be named by name or by number. A name that is not known (yet) has its own queue; when
the roster learns whose it is, that queue is put in order with the number's (`resolve`).

Invariants: `items` and the queues hold the same items; within a queue, numbers ascend; only the
first of a queue may be in flight, but for what `resolve` merged while it was.
"""

from collections import deque

from msgspec import Struct

from chat.protocol.messages import ChatRequest, GroupChatRequest

Target = tuple[str, int | str]
"""("user", number), ("name", name in lower case) or ("group", number)"""


class Item(Struct):
    """One send. `transmitted`: a node may have seen it, so without an answer nobody knows."""

    number: int
    ref: int
    key: str
    target: Target
    to: int | str
    text: str
    transmitted: bool = False
    in_flight: bool = False
    retry_at_ms: int = 0

    def request(self, id: int) -> ChatRequest | GroupChatRequest:
        if self.target[0] == "group":
            assert isinstance(self.to, int)
            return GroupChatRequest(id=id, group=self.to, text=self.text, key=self.key)
        return ChatRequest(id=id, to=self.to, text=self.text, key=self.key)


class Outbox:
    def __init__(self, key_prefix: str) -> None:
        self._prefix = key_prefix
        self._number = 0
        self._queues: dict[Target, deque[Item]] = {}
        self.items: dict[str, Item] = {}
        self._in_flight = 0
        self._paused_until_ms = 0

    def __len__(self) -> int:
        return len(self.items)

    def add(self, ref: int, target: Target, to: int | str, text: str) -> Item:
        self._number += 1
        key = f"{self._prefix}-{self._number}"
        item = Item(self._number, ref, key, target, to, text)
        self.items[key] = item
        self._queues.setdefault(target, deque()).append(item)
        return item

    def take(self, now_ms: int, most: int) -> list[Item]:
        """What may be sent now, so that at most that many are in flight; it counts as such from
        here on."""
        if now_ms < self._paused_until_ms:
            return []
        taken: list[Item] = []
        for queue in self._queues.values():
            if self._in_flight >= most:
                break
            item = queue[0]
            if item.retry_at_ms > now_ms or any(other.in_flight for other in queue):
                continue
            item.in_flight = item.transmitted = True
            self._in_flight += 1
            taken.append(item)
        return taken

    def settle(self, item: Item) -> bool:
        """Takes the item out. False if it was settled before."""
        if self.items.pop(item.key, None) is None:
            return False
        self._landed(item)
        queue = self._queues[item.target]
        queue.remove(item)
        if not queue:
            del self._queues[item.target]
        return True

    def postpone(self, item: Item, until_ms: int, *, everything: bool) -> None:
        """Not before then; nor anything else, if the limit is on all that the user sends."""
        if item.key in self.items:
            self._landed(item)
            item.retry_at_ms = until_ms
            if everything:
                self._paused_until_ms = max(self._paused_until_ms, until_ms)

    def connection_lost(self) -> None:
        """Nothing is in flight any more; all that is here may be sent again at once."""
        for item in self.items.values():
            item.in_flight = False
            item.retry_at_ms = 0
        self._in_flight = 0
        self._paused_until_ms = 0

    def resolve(self, name: str, number: int) -> None:
        """The name is this user's."""
        named = self._queues.pop(("name", name.lower()), None)
        if named is None:
            return
        target = ("user", number)
        for item in named:
            item.target = target
        both = [*named, *self._queues.get(target, ())]
        self._queues[target] = deque(sorted(both, key=lambda item: item.number))

    def clear(self) -> list[Item]:
        """Gives up on everything, in the order it was said."""
        items = list(self.items.values())
        self.items.clear()
        self._queues.clear()
        self._in_flight = 0
        self._paused_until_ms = 0
        return items

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """When something that waits for a time may be sent. What is free to go is not counted."""
        if not self._queues:
            return None
        times = [
            max(queue[0].retry_at_ms, self._paused_until_ms)
            for queue in self._queues.values()
            if not queue[0].in_flight
        ]
        return min([time for time in times if time > now_ms], default=None)

    def _landed(self, item: Item) -> None:
        if item.in_flight:
            item.in_flight = False
            self._in_flight -= 1
