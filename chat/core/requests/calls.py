"""Calls: requests that are under way, and how each of them waits.

Theory of operation
-------------------

A request is one function, read top to bottom: a generator that yields what it waits for. It asks
through its `Call`, and gets the typed outcome back:

    def profile(self, call: Call, request: ProfileRequest) -> Steps:
        read = yield from call.ask(ReadProfile(call.user.id))
        call.reply(ProfileReply(re=request.id, user=read.user, ...))

`Calls` runs these generators. What one yields, an operation or a channel to be subscribed to, is
asked for; the answer is an event later on, and its continuation advances the generator.

After each wait one of four things is so, and `ask` is the place where it is decided:

- The session has ended meanwhile, or its state takes no answers: the function unwinds.
- The operation was refused: the function unwinds, and the request is answered by the error.
- The commit's reply was lost: the function unwinds, and the connection is closed, since it is not
  known whether the request was carried out, and both `done` and `error` would say that it is.
- The operation succeeded: the function goes on with the outcome.

`commit` differs in the first point. It is for operations whose result concerns other users: what
was committed is told to them, whether or not the session that asked for it is still there. `reply`
does nothing then.

Invariant: a call that is not unwound replies exactly once.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.operations import (
    AnyOutcome,
    CommitUnknown,
    Failure,
    Operation,
    Outcome,
    Refused,
    UserLimit,
)
from chat.core.requests.large_replies import LargeReplies
from chat.core.state.context import Context
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.codec import encode
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import Request, ServerMessage
from chat.protocol.rules import COST, REQUEST_INPUT, Input, Verdict

_ACCEPT: Final = Verdict.ACCEPT
_REACHED: Final = {
    UserLimit.OPEN_REQUESTS_MADE: (
        "You have as many unanswered friend requests as one user may, {}; take one back first."
    ),
    UserLimit.OPEN_REQUESTS_RECEIVED: (
        "That user has as many unanswered friend requests as one user may, {}; try again later."
    ),
    UserLimit.GROUPS_OWNED: (
        "You own as many groups as one user may, {}; delete or leave one first."
    ),
    UserLimit.GROUPS_JOINED: (
        "You are a member of as many groups as one user may be, {}; leave one first."
    ),
}
"""What a user is to do who has reached a limit."""

OutcomeT = TypeVar("OutcomeT", bound=Outcome)
RequestT = TypeVar("RequestT", bound=Request, contravariant=True)


class Subscription(Struct, frozen=True, gc=False):
    """Waits until the channel, which the node needs, is subscribed to."""

    channel: str


class LargeReply(Struct, frozen=True, gc=False):
    """Waits for the turn of a reply with that many rows; None: it may be large."""

    rows: int | None


Step: TypeAlias = Operation[Outcome] | Subscription | LargeReply
ResultT = TypeVar("ResultT")
Waiting: TypeAlias = Generator[Step, AnyOutcome | None, ResultT]
"""A part of a request that waits, and then has a result."""
Steps: TypeAlias = Waiting[None]
"""A request as a generator of what it waits for."""


class Refusal(Exception):
    """The request is answered by this error, and nothing else is done for it."""

    def __init__(
        self, code: ErrorCode, message: str | None = None, wait_ms: int | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.wait_ms = wait_ms


class CommitReplyLost(Exception):
    """The reply of a commit was lost."""


class SessionEnded(Exception):
    """The session that made the request takes no answer any more."""


class Call:
    """One request under way."""

    __slots__ = ("_answerable", "_context", "id", "session")

    def __init__(self, context: Context, session: Session, id: int) -> None:
        self._context = context
        self.session = session
        self.id = id
        """The request's number, which its reply repeats."""
        self._answerable = True

    @property
    def now_ms(self) -> int:
        return self._context.now_ms

    @property
    def user(self) -> LocalUser:
        """The user of a session that is READY."""
        user = self.session.user
        assert user is not None
        return user

    def ask(self, operation: Operation[OutcomeT]) -> Waiting[OutcomeT]:
        """The outcome of an operation that succeeded; else the function unwinds."""
        outcome = yield from self.attempt(operation)
        return succeeded(outcome)

    def attempt(self, operation: Operation[OutcomeT]) -> Waiting[OutcomeT | Failure]:
        """The outcome, whichever it is; if the session has ended the function unwinds."""
        outcome = yield from self._wait(operation)
        if not self._answerable:
            raise SessionEnded
        return outcome

    def commit(self, operation: Operation[OutcomeT]) -> Waiting[OutcomeT]:
        """As `ask`, but what was committed comes back even if the session has ended."""
        outcome = yield from self._wait(operation)
        return succeeded(outcome)

    def subscribed(self, channel: str) -> Steps:
        """Waits until the channel is subscribed to."""
        yield Subscription(channel)
        if not self._is_answerable():
            raise SessionEnded

    def turn(self, rows: int | None = None) -> Steps:
        """Waits until a reply with that many rows may be made (see large_replies); None: with rows
        that are not known yet."""
        yield LargeReply(rows)
        if not self._is_answerable():
            raise SessionEnded

    def _wait(self, operation: Operation[OutcomeT]) -> Waiting[OutcomeT | Failure]:
        outcome = yield operation
        self._is_answerable()
        # The answer to an operation is its own outcome, or one of the two that any may have.
        return outcome  # type: ignore[return-value]

    def _is_answerable(self) -> bool:
        rule = self.session.step(Input.ANSWER, self._context.now_ms)
        self._answerable = rule.verdict is _ACCEPT
        return self._answerable

    def reply(self, message: ServerMessage) -> None:
        """The one reply to the request."""
        if self._answerable:
            self._context.reply(self.session, encode(message))

    def refuse(self, refusal: Refusal) -> None:
        """An error as the one reply to the request."""
        if self._answerable:
            self._context.reply_error(
                self.session, refusal.code, self.id, refusal.message, refusal.wait_ms
            )

    def charge_rows(self, rows: int) -> None:
        """The reply has that many rows, which the user's budget is charged for."""
        self._context.budgets.charge_rows(self.user.id, self._context.now_ms, rows)

    def close(self) -> None:
        """Ends the connection, because the outcome of the request is not known."""
        if self._answerable:
            self._context.close(self.session, Input.ANSWER_UNKNOWN)


def succeeded(outcome: OutcomeT | Failure) -> OutcomeT:
    """The outcome of an operation that succeeded. Raises Refusal or CommitReplyLost."""
    if isinstance(outcome, Refused):
        reached = outcome.reached
        message = None if reached is None else _REACHED[reached.limit].format(reached.most)
        raise Refusal(outcome.code, message)
    if isinstance(outcome, CommitUnknown):
        raise CommitReplyLost
    return outcome


class Handler(Protocol[RequestT]):
    """Handles a request by a call that may wait."""

    def __call__(self, call: Call, request: RequestT, /) -> Steps: ...


class ImmediateHandler(Protocol[RequestT]):
    """Handles a request by itself: it replies, now or from a continuation of its own."""

    def __call__(self, session: Session, request: RequestT, /) -> None: ...


class Calls:
    """The handler of each request, and the calls that wait."""

    def __init__(
        self, context: Context, subscriptions: Subscriptions, large_replies: LargeReplies
    ) -> None:
        self._context = context
        self._subscriptions = subscriptions
        self._large_replies = large_replies
        self.handlers: dict[type, tuple[Input, Callable[[Session, Any], None], int]] = {}
        """By the type of the request: its input, the function that begins to handle it, and what it
        costs its user."""

    def handle(self, request: type[RequestT], handler: Handler[RequestT]) -> None:
        """Has requests of this type handled by a function that may wait."""
        self.handle_at_once(request, partial(self._begin, handler))

    def handle_at_once(self, request: type[RequestT], handler: ImmediateHandler[RequestT]) -> None:
        """Has requests of this type handled without a call."""
        # `RequestT` is one of the types of `Request`, which mypy does not see for a type variable.
        input = REQUEST_INPUT[request]  # type: ignore[index]
        self.handlers[request] = input, handler, COST.get(request, 0)  # type: ignore[arg-type]

    def _begin(self, handler: Handler[RequestT], session: Session, request: RequestT) -> None:
        call = Call(self._context, session, request.id)
        self._advance(call, handler(call, request), None)

    def _advance(self, call: Call, steps: Steps, outcome: AnyOutcome | None) -> None:
        try:
            step = steps.send(outcome)
            while isinstance(step, Subscription | LargeReply):
                if self._wait(call, step, partial(self._advance, call, steps, None)):
                    return
                step = steps.send(None)
        except (StopIteration, SessionEnded):
            return
        except Refusal as refusal:
            call.refuse(refusal)
        except CommitReplyLost:
            call.close()
        else:
            self._context.query(step, partial(self._advance, call, steps), call.session)

    def _wait(self, call: Call, step: Subscription | LargeReply, then: Callable[[], None]) -> bool:
        """Whether the call has to wait; `then` is called when it is over."""
        if isinstance(step, LargeReply):
            return self._large_replies.wait(call.session, step.rows, then)
        return self._subscriptions.wait(step.channel, then)
