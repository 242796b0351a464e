"""Sends that are not settled yet: each from the user's wish to its outcome.

Theory of operation
-------------------

A send is settled by `sent`, by its own entry coming back with its key, or by an error that waiting
does not help. Until then it stays here under its key, and after each reconnect it is sent
again under that key; the store knows a key it has seen, so nothing is stored twice.

Each target (a friend or a group) has a queue of its own, and only the first send of a queue may be
in flight. So a send that has to wait (`rate_limited`, say) holds back the later sends to the same
target, and nothing else: the log has the texts of one device in the order they were typed.

A friend may be named by name or by number. A name that is not known (yet) has its own queue; when
the roster learns which user it is, that queue is merged with the number's (`resolve`).

Invariants: `items` and the queues hold the same sends; within a queue, numbers ascend; only the
first of a queue is in flight, except that `resolve` may merge two queues while both have a send in
flight; each send is told once, by SendSettled or SendFailed.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chat.client.session.ports.events import SendChat, SendGroupChat
from chat.client.session.ports.notices import AnyNotice, SendDelayed, SendFailed, SendSettled
from chat.client.session.roster import Roster
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import ChatRequest, ErrorReply, GroupChatRequest

NOT_SENT: Final = "It was not sent, since you logged out before."
MAYBE_SENT: Final = "It is not known whether it was sent, since you logged out before the answer."

Target = tuple[str, int | str]
"""("user", number), ("name", name in lower case) or ("group", number)"""


class PendingSend(Struct):
    """One send. `transmitted`: a node may have seen it, so without an answer it is not known
    whether it was stored."""

    number: int
    ref: int
    key: str
    target: Target
    to: int | str
    text: str
    transmitted: bool = False
    in_flight: bool = False
    retry_at_ms: int = 0

    def request(self) -> ChatRequest | GroupChatRequest:
        """The request that sends it, without its id."""
        if self.target[0] == "group":
            assert isinstance(self.to, int)
            return GroupChatRequest(id=0, group=self.to, text=self.text, key=self.key)
        return ChatRequest(id=0, to=self.to, text=self.text, key=self.key)


class Outbox:
    """`key_prefix` makes the keys unlike those of the user's other devices."""

    def __init__(self, key_prefix: str, tell: Callable[[AnyNotice], None]) -> None:
        self._prefix = key_prefix
        self._tell = tell
        self._number = 0
        self._queues: dict[Target, deque[PendingSend]] = {}
        self.items: dict[str, PendingSend] = {}
        """All sends by key, in the order they were accepted."""
        self._in_flight = 0
        self._paused_until_ms = 0

    def __len__(self) -> int:
        return len(self.items)

    # ------------------------------------------------------------------ accepting

    def accept(self, event: SendChat | SendGroupChat, roster: Roster) -> None:
        if isinstance(event, SendChat):
            self.accept_chat(event, roster)
        else:
            self.accept_group_chat(event)

    def accept_chat(self, event: SendChat, roster: Roster) -> None:
        friend = roster.find_friend(event.to)
        target: Target
        if isinstance(event.to, int):
            target = ("user", event.to)
        elif friend is not None:
            target = ("user", friend.id)
        else:
            target = ("name", event.to.lower())
        if _is_unicode(event.text) and _is_unicode(str(event.to)):
            self.add(event.ref, target, event.to, event.text)
        else:
            self.reject(event, ErrorCode.BAD_MESSAGE)

    def accept_group_chat(self, event: SendGroupChat) -> None:
        if _is_unicode(event.text):
            self.add(event.ref, ("group", event.group), event.group, event.text)
        else:
            self.reject(event, ErrorCode.BAD_MESSAGE)

    def reject(self, event: SendChat | SendGroupChat, code: ErrorCode) -> None:
        """The send fails without being tried."""
        self._tell(SendFailed(event.ref, "", event.text, code, ERRORS[code].message))

    def add(self, ref: int, target: Target, to: int | str, text: str) -> PendingSend:
        self._number += 1
        key = f"{self._prefix}-{self._number}"
        item = PendingSend(self._number, ref, key, target, to, text)
        self.items[key] = item
        self._queues.setdefault(target, deque()).append(item)
        return item

    # ------------------------------------------------------------------ sending

    def take(self, now_ms: int, max_in_flight: int) -> list[PendingSend]:
        """The sends to transmit now, so that at most that many are in flight; they count as in
        flight from here on."""
        if now_ms < self._paused_until_ms:
            return []
        taken: list[PendingSend] = []
        for queue in self._queues.values():
            if self._in_flight >= max_in_flight:
                break
            item = queue[0]
            if item.retry_at_ms > now_ms or any(other.in_flight for other in queue):
                continue
            item.in_flight = item.transmitted = True
            self._in_flight += 1
            taken.append(item)
        return taken

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """When a send that waits for its time may be transmitted; sends that may be transmitted now
        do not count."""
        if not self._queues:
            return None
        times = [
            max(queue[0].retry_at_ms, self._paused_until_ms)
            for queue in self._queues.values()
            if not queue[0].in_flight
        ]
        return min([time for time in times if time > now_ms], default=None)

    def resolve(self, name: str, number: int) -> None:
        """The user with this name has this number."""
        named = self._queues.pop(("name", name.lower()), None)
        if named is None:
            return
        target = ("user", number)
        for item in named:
            item.target = target
        both = [*named, *self._queues.get(target, ())]
        self._queues[target] = deque(sorted(both, key=lambda item: item.number))

    # ------------------------------------------------------------------ outcomes

    def stored(self, item: PendingSend, conversation: int, seq: int) -> None:
        """The send is in the log."""
        if self.settle(item):
            self._tell(SendSettled(item.ref, item.key, conversation, seq))

    def stored_key(self, key: str, conversation: int, seq: int) -> None:
        """An entry of this user's with this key is in the log."""
        item = self.items.get(key)
        if item is not None:
            self.stored(item, conversation, seq)

    def refused(
        self, item: PendingSend, error: ErrorReply, retry_at_ms: int | None, now_ms: int
    ) -> None:
        """The node refused the send. It is sent again at `retry_at_ms`, or has failed if that is
        None."""
        if retry_at_ms is not None:
            everything = error.code is ErrorCode.RATE_LIMITED
            self.postpone(item, retry_at_ms, everything=everything)
            self._tell(SendDelayed(item.ref, item.key, error.code, retry_at_ms - now_ms))
        elif self.settle(item):
            self._tell(SendFailed(item.ref, item.key, item.text, error.code, error.message))

    def settle(self, item: PendingSend) -> bool:
        """Takes the send out. False if it was settled before."""
        if self.items.pop(item.key, None) is None:
            return False
        self._landed(item)
        queue = self._queues[item.target]
        queue.remove(item)
        if not queue:
            del self._queues[item.target]
        return True

    def postpone(self, item: PendingSend, until_ms: int, *, everything: bool) -> None:
        """The send is not transmitted before that time. With `everything` no other one is, either:
        the limit is on all that the user sends."""
        if item.key in self.items:
            self._landed(item)
            item.retry_at_ms = until_ms
            if everything:
                self._paused_until_ms = max(self._paused_until_ms, until_ms)

    def connection_lost(self) -> None:
        """Nothing is in flight any more; all sends may be transmitted again at once."""
        for item in self.items.values():
            item.in_flight = False
            item.retry_at_ms = 0
        self._in_flight = 0
        self._paused_until_ms = 0

    def abandon(self) -> None:
        """The user is logged out: every send fails, in the order they were accepted."""
        items = list(self.items.values())
        self.items.clear()
        self._queues.clear()
        self._in_flight = 0
        self._paused_until_ms = 0
        for item in items:
            message = MAYBE_SENT if item.transmitted else NOT_SENT
            self._tell(SendFailed(item.ref, item.key, item.text, None, message, item.transmitted))

    def _landed(self, item: PendingSend) -> None:
        """The send is not in flight any more."""
        if item.in_flight:
            item.in_flight = False
            self._in_flight -= 1


def _is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
