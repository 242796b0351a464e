"""Requests other than sends: from the asking to the outcome, over a link that may break.

Those that may safely be done twice are asked again on the next link, and an error that only says that it
was done before then counts as done. A group that was to be made is not: two would be one too
many, so it is said that nobody knows.
"""

from typing import Final

from chat.core._generated.errors import ErrorCode
from chat.core._generated.messages import (
    CreateGroupRequest,
    DeleteGroupRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    LogoutRequest,
    RemoveFriendRequest,
    Request,
)

_DONE_BEFORE: Final[dict[type, tuple[ErrorCode, ...]]] = {
    RemoveFriendRequest: (ErrorCode.NOT_FRIENDS,),
    JoinGroupRequest: (ErrorCode.ALREADY_MEMBER,),
    LeaveGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
    DeleteGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
}
"""Errors that a request gets when it is done a second time."""


class Asked:
    """A request and the number that the user interface knows it by."""

    __slots__ = ("again", "number", "request")

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.request = request
        self.again = False
        """It was asked before, on a link that broke."""

    def was_done_before(self, code: ErrorCode) -> bool:
        return self.again and code in _DONE_BEFORE.get(type(self.request), ())


class Asks:
    """Those that wait for a link, and those under way by request id."""

    def __init__(self) -> None:
        self._waiting: list[Asked] = []
        self._under_way: dict[int, Asked] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def add(self, number: int, request: Request) -> None:
        self._waiting.append(Asked(number, request))

    def take_waiting(self) -> list[Asked]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def sent(self, asked: Asked, re: int) -> None:
        self._under_way[re] = asked

    def replied(self, re: int) -> Asked | None:
        return self._under_way.pop(re, None)

    def link_broke(self) -> list[int]:
        """No reply is coming any more. The numbers of those of which nobody knows."""
        unclear: list[int] = []
        again: list[Asked] = []
        for asked in self._under_way.values():
            if isinstance(asked.request, CreateGroupRequest):
                unclear.append(asked.number)
            elif not isinstance(asked.request, LogoutRequest):
                asked.again = True
                again.append(asked)
        self._under_way.clear()
        self._waiting = again + self._waiting
        return unclear


class Marks:
    """Read marks on their way: the highest of each conversation, a few times a second at most."""

    EVERY_MS: Final = 500

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._under_way: dict[int, tuple[int, int]] = {}
        self._sent_at_ms = -self.EVERY_MS

    def shown(self, conversation: int, seq: int) -> None:
        if seq > self._waiting.get(conversation, 0):
            self._waiting[conversation] = seq

    def next_due_ms(self) -> int | None:
        if not self._waiting or self._under_way:
            return None
        return self._sent_at_ms + self.EVERY_MS

    def take_due(self, now_ms: int) -> list[tuple[int, int]]:
        """Conversations and seqs that are to be sent now; each is then given to `sent`."""
        due_ms = self.next_due_ms()
        if due_ms is None or now_ms < due_ms:
            return []
        self._sent_at_ms = now_ms
        return self.take_all()

    def take_all(self) -> list[tuple[int, int]]:
        """All that wait, due or not: the device is about to end."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.items())

    def sent(self, conversation: int, seq: int, re: int) -> None:
        self._under_way[re] = (conversation, seq)

    def replied(self, re: int) -> bool:
        """Whether the reply was to one of these."""
        return self._under_way.pop(re, None) is not None

    def link_broke(self) -> None:
        for conversation, seq in self._under_way.values():
            self.shown(conversation, seq)
        self._under_way.clear()
