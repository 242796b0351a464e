"""Requests of the person that are not sends: asked one at a time, in order.

If the connection breaks before the answer, nobody knows whether it was done. What becomes of the
request then:

    profile snapshot members history        read only: asked again
    add_friend block unblock                done twice is done once: asked again
    remove_friend                           asked again; `not_friends` then means done
    join_group                              asked again; `already_member` then means done
    leave_group delete_group                asked again; `not_member` or `no_such_group` means done
    create_group                            would make a second group: the person is told

Errors that waiting helps are waited for a few times, and then told.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from chat.client.session.interface import Question
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    CreateGroupRequest,
    DeleteGroupRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    RemoveFriendRequest,
)

MOST_TRIES: Final = 5
ASK_ONCE: Final[tuple[type[Question], ...]] = (CreateGroupRequest,)
DONE_BEFORE: Final[dict[type[Question], tuple[ErrorCode, ...]]] = {
    RemoveFriendRequest: (ErrorCode.NOT_FRIENDS,),
    JoinGroupRequest: (ErrorCode.ALREADY_MEMBER,),
    LeaveGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
    DeleteGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
}
"""The error that says so, when the request was asked before and its answer was lost."""


class Asked(Struct):
    ref: int
    request: Question
    in_flight: bool = False
    repeated: bool = False
    """An earlier answer was lost."""
    tries: int = 0
    retry_at_ms: int = 0

    def was_done_before(self, code: ErrorCode) -> bool:
        return self.repeated and code in DONE_BEFORE.get(type(self.request), ())


class Questions:
    def __init__(self) -> None:
        self._queue: deque[Asked] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, ref: int, request: Question) -> None:
        self._queue.append(Asked(ref, request))

    def take(self, now_ms: int) -> Asked | None:
        """The next one to ask, if it is its time; in flight from here on."""
        if not self._queue:
            return None
        first = self._queue[0]
        if first.in_flight or first.retry_at_ms > now_ms:
            return None
        first.in_flight = True
        first.tries += 1
        return first

    def done(self, asked: Asked) -> None:
        assert self._queue[0] is asked
        self._queue.popleft()

    def postpone(self, asked: Asked, until_ms: int) -> bool:
        """False if it was tried often enough."""
        if asked.tries >= MOST_TRIES:
            return False
        asked.in_flight = False
        asked.retry_at_ms = until_ms
        return True

    def put_back(self, asked: Asked) -> None:
        """The node did not look at it; it is asked again on the next connection."""
        asked.in_flight = False

    def connection_lost(self) -> list[Asked]:
        """What was in flight is asked again, but for what must not be: that is given back."""
        if not self._queue or not self._queue[0].in_flight:
            return []
        first = self._queue[0]
        if isinstance(first.request, ASK_ONCE):
            self._queue.popleft()
            return [first]
        first.in_flight = False
        first.repeated = True
        first.retry_at_ms = 0
        return []

    def clear(self) -> list[Asked]:
        asked = list(self._queue)
        self._queue.clear()
        return asked

    def next_deadline_ms(self, now_ms: int) -> int | None:
        if not self._queue or self._queue[0].in_flight:
            return None
        at_ms = self._queue[0].retry_at_ms
        return at_ms if at_ms > now_ms else None
