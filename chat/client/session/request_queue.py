"""The user's requests that are not sends: one in flight at a time, in order, each from the user's
wish to its outcome.

If the connection breaks before the reply, it is not known whether the request was carried out. What
becomes of it then:

    profile snapshot members history        read only: sent again
    add_friend block unblock rename_group   idempotent: sent again
    remove_friend                           sent again; `not_friends` then means done
    join_group                              sent again; `already_member` then means done
    leave_group delete_group                sent again; `not_member` or `no_such_group` means done
    create_group                            would make a second group: fails, and the user looks

A request that is refused for now is sent again up to MAX_TRIES times in all, and then fails. Each
request is told once, by RequestDone or RequestFailed.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from chat.client.session.ports.events import SubmitRequest
from chat.client.session.ports.notices import AnyNotice, RequestDone, RequestFailed
from chat.client.session.ports.requests import QueuedReply, QueuedRequest
from chat.client.session.roster import Roster
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.messages import (
    CreateGroupRequest,
    DeleteGroupRequest,
    DoneReply,
    ErrorReply,
    JoinedReply,
    JoinGroupRequest,
    LeaveGroupRequest,
    RemoveFriendRequest,
)

MAX_TRIES: Final = 5
NEVER_REPEATED: Final[tuple[type[QueuedRequest], ...]] = (CreateGroupRequest,)
MEANS_DONE: Final[dict[type[QueuedRequest], tuple[ErrorCode, ...]]] = {
    RemoveFriendRequest: (ErrorCode.NOT_FRIENDS,),
    JoinGroupRequest: (ErrorCode.ALREADY_MEMBER,),
    LeaveGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
    DeleteGroupRequest: (ErrorCode.NOT_MEMBER, ErrorCode.NO_SUCH_GROUP),
}
"""The errors that say that a request was carried out the first time, when its reply was lost."""
NOT_KNOWN: Final = (
    "The connection broke before the answer came, so it is not known whether it was done; "
    "look with updatelist."
)


class PendingRequest(Struct):
    """One request of the queue. `repeated`: it was sent before, and its reply was lost."""

    ref: int
    request: QueuedRequest
    in_flight: bool = False
    repeated: bool = False
    tries: int = 0
    retry_at_ms: int = 0

    def was_done_before(self, code: ErrorCode) -> bool:
        """Whether this error says that the request was carried out the first time."""
        return self.repeated and code in MEANS_DONE.get(type(self.request), ())


class RequestQueue:
    """Only the first request of the queue may be in flight."""

    def __init__(self, tell: Callable[[AnyNotice], None]) -> None:
        self._tell = tell
        self._queue: deque[PendingRequest] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    # ------------------------------------------------------------------ accepting

    def accept(self, event: SubmitRequest) -> None:
        try:
            msgspec.json.encode(event.request)
        except UnicodeEncodeError:
            self.reject(event, ErrorCode.BAD_MESSAGE)
        else:
            self._queue.append(PendingRequest(event.ref, event.request))

    def reject(self, event: SubmitRequest, code: ErrorCode) -> None:
        """The request fails without being tried."""
        self._tell(RequestFailed(event.ref, event.request, code, ERRORS[code].message))

    # ------------------------------------------------------------------ sending

    def take(self, now_ms: int) -> PendingRequest | None:
        """The request to send now, if there is one; it counts as in flight from here on."""
        if not self._queue:
            return None
        first = self._queue[0]
        if first.in_flight or first.retry_at_ms > now_ms:
            return None
        first.in_flight = True
        first.tries += 1
        return first

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """When a request that waits for its time may be sent; one that may be sent now does not
        count."""
        if not self._queue or self._queue[0].in_flight:
            return None
        at_ms = self._queue[0].retry_at_ms
        return at_ms if at_ms > now_ms else None

    # ------------------------------------------------------------------ outcomes

    def done(self, pending: PendingRequest, reply: QueuedReply) -> None:
        self._take_out(pending)
        self._tell(RequestDone(pending.ref, pending.request, reply))

    def refused(
        self,
        pending: PendingRequest,
        error: ErrorReply,
        retry_at_ms: int | None,
        roster: Roster,
    ) -> None:
        """The node refused the request. `retry_at_ms`: when to send it again, if waiting helps."""
        if pending.was_done_before(error.code):
            self.done(pending, _reply_from_roster(pending.request, roster))
        elif retry_at_ms is not None and pending.tries < MAX_TRIES:
            pending.in_flight = False
            pending.retry_at_ms = retry_at_ms
        else:
            self._take_out(pending)
            self._tell(RequestFailed(pending.ref, pending.request, error.code, error.message))

    def put_back(self, pending: PendingRequest) -> None:
        """The node refused without carrying anything out, since the connection is not logged in;
        the request is sent again on the next connection."""
        pending.in_flight = False

    def connection_lost(self) -> None:
        """The request in flight is sent again on the next connection, or fails if it must not be
        repeated."""
        if not self._queue or not self._queue[0].in_flight:
            return
        first = self._queue[0]
        if isinstance(first.request, NEVER_REPEATED):
            self._queue.popleft()
            self._tell(RequestFailed(first.ref, first.request, None, NOT_KNOWN))
            return
        first.in_flight = False
        first.repeated = True
        first.retry_at_ms = 0

    def abandon(self) -> None:
        """The user is logged out: every request fails."""
        while self._queue:
            pending = self._queue.popleft()
            self._tell(RequestFailed(pending.ref, pending.request, None, NOT_KNOWN))

    def _take_out(self, pending: PendingRequest) -> None:
        assert self._queue[0] is pending
        self._queue.popleft()


def _reply_from_roster(request: QueuedRequest, roster: Roster) -> QueuedReply:
    """The reply to a request that was carried out before, when its own reply was lost."""
    if isinstance(request, JoinGroupRequest):
        group = roster.groups.get(request.group)
        if group is not None:
            return JoinedReply(re=0, group=group)
    return DoneReply(re=0)
