"""A fair queue: what waits is taken in turns by payer, and in order for each payer.

Round robin (J. Nagle, RFC 970): each payer has a queue of its own, and the payers take turns. A
payer with much in its queue waits behind itself, and any other waits for one item of each payer at
most.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Payer = TypeVar("Payer", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(Generic[Payer, Item]):
    """Items by payer. All methods but `remove` take constant time."""

    __slots__ = ("_count", "turns")

    def __init__(self) -> None:
        self.turns: OrderedDict[Payer, deque[Item]] = OrderedDict()
        """Payers with something in their queues, the next one first. It is to be read only."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, payer: Payer, item: Item) -> None:
        """Puts the item last in the payer's queue; a payer without one gets the last turn."""
        queue = self.turns.get(payer)
        if queue is None:
            queue = self.turns[payer] = deque()
        queue.append(item)
        self._count += 1

    def next_payer(self) -> Payer:
        """Whose turn it is. There must be something in the queue."""
        return next(iter(self.turns))

    def take(self) -> Item:
        """The first item of the payer whose turn it is, and whose next turn is the last one."""
        payer, queue = self.turns.popitem(last=False)
        item = queue.popleft()
        self._count -= 1
        if queue:
            self.turns[payer] = queue
        return item

    def pass_over(self) -> None:
        """The payer whose turn it is gets the last turn instead."""
        self.turns.move_to_end(self.next_payer())

    def remove(self, payer: Payer, is_it: Callable[[Item], bool]) -> Item | None:
        """Takes out the first item of the payer that `is_it`; None if there is none. It looks at
        all items of this payer."""
        queue = self.turns.get(payer, ())
        found = next((item for item in queue if is_it(item)), None)
        if found is not None:
            assert isinstance(queue, deque)
            queue.remove(found)
            self._count -= 1
            if not queue:
                del self.turns[payer]
        return found
