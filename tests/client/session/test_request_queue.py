"""The request queue by itself: order, tries, and what becomes of a request whose reply is lost."""

import pytest

from chat.client.session.ports.events import SubmitRequest
from chat.client.session.ports.notices import AnyNotice, RequestDone, RequestFailed
from chat.client.session.ports.requests import QueuedRequest
from chat.client.session.request_queue import MAX_TRIES, RequestQueue
from chat.client.session.roster import Roster
from chat.protocol import messages as wire
from chat.protocol.errors import ErrorCode

DONE = wire.DoneReply(re=0)
PROFILE = wire.ProfileRequest(id=0)
CREATE = wire.CreateGroupRequest(id=0, name="gophers")


def a_queue(*requests: QueuedRequest) -> tuple[RequestQueue, list[AnyNotice]]:
    told: list[AnyNotice] = []
    queue = RequestQueue(told.append)
    for ref, request in enumerate(requests):
        queue.accept(SubmitRequest(ref, request))
    return queue, told


def refusal(code: ErrorCode) -> wire.ErrorReply:
    return wire.ErrorReply(re=1, code=code, message="no")


def test_one_request_at_a_time_in_order() -> None:
    queue, told = a_queue(PROFILE, CREATE)
    first = queue.take(0)
    assert first is not None
    assert first.request == PROFILE
    assert queue.take(0) is None
    queue.done(first, DONE)
    second = queue.take(0)
    assert second is not None
    assert second.request == CREATE
    assert told == [RequestDone(0, PROFILE, DONE)]


def test_a_refusal_that_waiting_helps_is_tried_again_a_few_times() -> None:
    queue, told = a_queue(PROFILE)
    for number in range(MAX_TRIES):
        assert not told
        pending = queue.take(number * 100)
        assert pending is not None
        retry_at_ms = (number + 1) * 100
        queue.refused(pending, refusal(ErrorCode.UNAVAILABLE), retry_at_ms, Roster())
        assert queue.take(retry_at_ms - 1) is None
    assert told == [RequestFailed(0, PROFILE, ErrorCode.UNAVAILABLE, "no")]
    assert not len(queue)


@pytest.mark.parametrize(
    ("submitted", "code"),
    [
        (wire.RemoveFriendRequest(id=0, user=2), ErrorCode.NOT_FRIENDS),
        (wire.JoinGroupRequest(id=0, group=9), ErrorCode.ALREADY_MEMBER),
        (wire.LeaveGroupRequest(id=0, group=9), ErrorCode.NOT_MEMBER),
        (wire.LeaveGroupRequest(id=0, group=9), ErrorCode.NO_SUCH_GROUP),
        (wire.DeleteGroupRequest(id=0, group=9), ErrorCode.NO_SUCH_GROUP),
    ],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_an_error_that_means_done_counts_as_done_after_a_lost_reply(
    submitted: QueuedRequest, code: ErrorCode, repeated: bool
) -> None:
    queue, told = a_queue(submitted)
    pending = queue.take(0)
    if repeated:
        queue.connection_lost()
        pending = queue.take(0)
    assert pending is not None
    queue.refused(pending, refusal(code), None, Roster())
    (outcome,) = told
    assert isinstance(outcome, RequestDone if repeated else RequestFailed)


def test_a_group_is_not_created_again_after_a_lost_reply() -> None:
    queue, told = a_queue(CREATE, PROFILE)
    queue.take(0)
    queue.connection_lost()
    (failed,) = told
    assert isinstance(failed, RequestFailed)
    assert (failed.ref, failed.code) == (0, None)
    pending = queue.take(0)
    assert pending is not None
    assert pending.request == PROFILE


def test_a_request_that_is_no_unicode_fails_at_once() -> None:
    _, told = a_queue(wire.CreateGroupRequest(id=0, name="\ud800"))
    (failed,) = told
    assert isinstance(failed, RequestFailed)
    assert failed.code is ErrorCode.BAD_MESSAGE


def test_a_logout_fails_every_request() -> None:
    queue, told = a_queue(PROFILE, CREATE)
    queue.take(0)
    queue.abandon()
    assert [type(notice) for notice in told] == [RequestFailed, RequestFailed]
    assert queue.take(0) is None
    assert queue.next_deadline_ms(0) is None
