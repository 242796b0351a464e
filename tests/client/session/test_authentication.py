"""Authentication by itself: which request follows which reply, and what the user is told."""

from chat.client.session.authentication import Authentication, AuthenticationRequest
from chat.client.session.ports.events import LogIn, Register
from chat.client.session.ports.notices import (
    AnyNotice,
    ConnectionChanged,
    LoginFailed,
    RegisterFailed,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import ErrorReply, LoginRequest, RegisterRequest, ResumeRequest

TOKEN = "a" * 64
BAD_CREDENTIALS = ErrorReply(re=1, code=ErrorCode.BAD_CREDENTIALS, message="")
UNAVAILABLE = ErrorReply(re=1, code=ErrorCode.UNAVAILABLE, message="")
RATE_LIMITED = ErrorReply(re=1, code=ErrorCode.RATE_LIMITED, message="", retry_after_ms=100)


def logged_in() -> tuple[Authentication, list[AnyNotice]]:
    told: list[AnyNotice] = []
    authentication = Authentication(told.append)
    authentication.want(LogIn("ann", "secret-ann"), under_way=False)
    assert isinstance(authentication.next_request({}), LoginRequest)
    authentication.login_accepted(TOKEN)
    return authentication, told


def test_after_a_login_connections_are_resumed_with_the_cursors() -> None:
    authentication, _ = logged_in()
    assert authentication.next_request({7: 3}) == ResumeRequest(id=0, token=TOKEN, cursors={7: 3})


def test_a_refused_token_is_replaced_by_the_password_once() -> None:
    authentication, _ = logged_in()
    assert authentication.refused(authentication.next_request({}), BAD_CREDENTIALS, None)
    assert authentication.logged_in
    login: AuthenticationRequest = authentication.next_request({})
    assert isinstance(login, LoginRequest)
    assert not authentication.refused(login, BAD_CREDENTIALS, None)
    assert isinstance(authentication.failure(None, ""), LoginFailed)


def test_a_refusal_that_waiting_helps_is_repeated_later() -> None:
    authentication, _ = logged_in()
    resume = authentication.next_request({})
    assert authentication.refused(resume, UNAVAILABLE, 500)
    assert authentication.retry_at_ms == 500
    assert authentication.refused(resume, RATE_LIMITED, 700)
    assert authentication.retry_at_ms == 700
    assert isinstance(authentication.next_request({}), ResumeRequest)


def test_a_rate_limit_is_told_to_a_user_who_logs_in() -> None:
    authentication = Authentication(lambda notice: None)
    authentication.want(LogIn("ann", "secret-ann"), under_way=False)
    assert not authentication.refused(authentication.next_request({}), RATE_LIMITED, 100)
    assert authentication.refused(authentication.next_request({}), UNAVAILABLE, 100)


def test_a_second_login_is_refused() -> None:
    authentication, told = logged_in()
    authentication.want(LogIn("bob", "secret-bob"), under_way=False)
    authentication.want(Register("bob", "secret-bob"), under_way=False)
    assert [type(notice) for notice in told] == [LoginFailed, RegisterFailed]
    assert isinstance(authentication.next_request({}), ResumeRequest)


def test_a_registration_whose_reply_is_lost_is_not_repeated() -> None:
    told: list[AnyNotice] = []
    authentication = Authentication(told.append)
    authentication.want(Register("ann", "secret-ann"), under_way=False)
    request = authentication.next_request({})
    assert isinstance(request, RegisterRequest)
    authentication.reply_lost(request)
    (failed,) = told
    assert isinstance(failed, RegisterFailed)
    assert failed.code is None
    assert not authentication.needs_connection
    assert isinstance(authentication.failure(None, ""), ConnectionChanged)
