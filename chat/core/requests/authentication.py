"""Authentication: register, login, resume, logout.

A login or resume that succeeds goes the same way from the roster on: the user's channel is
subscribed to before the roster is read, and versions that are heard meanwhile are kept until it
has been, so that no change of it can fall between. A token leaves the core only as its hash.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import user_channel
from chat.core.ports.operations import (
    CheckPassword,
    CloseDevice,
    CreateUser,
    FindAccount,
    FindDevice,
    FindPresence,
    HashPassword,
    OpenDevice,
    PresenceFound,
    ReadRoster,
    Refused,
)
from chat.core.ports.rosters import Roster
from chat.core.requests.calls import Call, Calls, Refusal, Steps, Waiting, succeeded
from chat.core.roster.presence import Presence
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.budgets import Attempt
from chat.core.state.context import Context
from chat.core.state.rate_limiter import Key, RateLimiter
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.core.upkeep.admission import Admission
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    DoneReply,
    LoggedInReply,
    LoginRequest,
    LogoutRequest,
    RegisteredReply,
    RegisterRequest,
    ResumeRequest,
)
from chat.protocol.rules import COST, Input


def token_sha256(token: str) -> bytes:
    """What the store knows of a token."""
    return hashlib.sha256(token.encode()).digest()


class Authentication:
    """Who a connection belongs to: the way from ANONYMOUS to READY, and back."""

    def __init__(
        self,
        context: Context,
        calls: Calls,
        subscriptions: Subscriptions,
        roster_sync: RosterSync,
        presence: Presence,
        admission: Admission,
    ) -> None:
        self._context = context
        self._subscriptions = subscriptions
        self._roster_sync = roster_sync
        self._presence = presence
        self._admission = admission
        calls.handle(RegisterRequest, self.register)
        calls.handle(LoginRequest, self.login)
        calls.handle(ResumeRequest, self.resume)
        calls.handle(LogoutRequest, self.logout)

    # ------------------------------------------------------------------ requests

    def register(self, call: Call, request: RegisterRequest) -> Steps:
        with self._anonymous_if_refused(call.session):
            self._take(self._context.budgets.registrations, call.session.address)
            hashed = yield from call.ask(HashPassword(request.password))
            create = CreateUser(request.name, hashed.password_hash, call.now_ms)
            created = yield from call.ask(create)
        call.session.step(Input.UNIDENTIFIED, call.now_ms)
        call.reply(RegisteredReply(re=request.id, user=created.user))

    def login(self, call: Call, request: LoginRequest) -> Steps:
        session, budgets = call.session, self._context.budgets
        with self._anonymous_if_refused(session):
            account = (yield from call.ask(FindAccount(request.user))).account
            # An account is one account, whether it is named by name or by number.
            name = f"#{account.user.id}" if account else str(request.user).lower()
            attempt: Attempt = (name, session.address)
            self._check(budgets.failed_logins, attempt)
            # An unknown name is checked against a dummy hash (None), so that its refusal takes as
            # long as one for a wrong password.
            password_hash = account.password_hash if account else None
            checked = yield from call.ask(CheckPassword(request.password, password_hash))
            # Other guesses that were checked at the same time may have failed meanwhile. A right
            # guess is not told from a wrong one then, or guessing at once would evade the limit.
            self._check(budgets.failed_logins, attempt)
            if account is None or not checked.matches:
                session.failures += 1
                budgets.failed_logins.take(attempt, call.now_ms)
                raise Refusal(ErrorCode.BAD_CREDENTIALS)
            self._take_place(account.user.id, COST[LoginRequest])
            yield from self._subscribe(call, account.user.id)
            user_id = account.user.id
            yield from call.ask(OpenDevice(user_id, token_sha256(checked.token), call.now_ms))
            roster = (yield from call.ask(ReadRoster(user_id))).roster
            user = yield from self._find_states(call, roster)
        self._identify(call, user, checked.token, cursors=None)

    def resume(self, call: Call, request: ResumeRequest) -> Steps:
        session, budgets = call.session, self._context.budgets
        with self._anonymous_if_refused(session):
            self._check(budgets.failed_resumes, session.address)
            device = yield from call.attempt(FindDevice(token_sha256(request.token), call.now_ms))
            if isinstance(device, Refused) and device.code is ErrorCode.BAD_CREDENTIALS:
                session.failures += 1
                budgets.failed_resumes.charge(session.address, call.now_ms, 1)
            device = succeeded(device)
            self._take_place(device.user, COST[ResumeRequest])
            yield from self._subscribe(call, device.user)
            roster = (yield from call.ask(ReadRoster(device.user))).roster
            user = yield from self._find_states(call, roster)
        self._identify(call, user, request.token, request.cursors)

    def logout(self, call: Call, request: LogoutRequest) -> Steps:
        session = call.session
        yield from call.ask(CloseDevice(token_sha256(session.token)))
        self._roster_sync.leave(session)
        self.forget(session)
        session.token = ""
        session.step(Input.UNIDENTIFIED, call.now_ms)
        self._admission.unauthenticated(session)
        call.reply(DoneReply(re=request.id))

    # ------------------------------------------------------------------ steps of the above

    @contextmanager
    def _anonymous_if_refused(self, session: Session) -> Iterator[None]:
        """A refusal leaves the connection without a user; it may try again."""
        try:
            yield
        except Refusal:
            self.forget(session)
            session.step(Input.UNIDENTIFIED, self._context.now_ms)
            raise

    def _check(self, budget: RateLimiter[Key], key: Key, cost: int = 1) -> None:
        """Raises Refusal if the budget has not that much left for the key."""
        now_ms = self._context.now_ms
        if not budget.ready(key, now_ms, cost):
            wait_ms = budget.wait_ms(key, now_ms, cost)
            raise Refusal(ErrorCode.RATE_LIMITED, wait_ms=wait_ms)

    def _take(self, budget: RateLimiter[Key], key: Key, cost: int = 1) -> None:
        """As `_check`, and takes it."""
        self._check(budget, key, cost)
        budget.take(key, self._context.now_ms, cost)

    def _take_place(self, user_id: int, cost: int) -> None:
        """Raises Refusal if the user has used up the budget, or the node is full."""
        self._take(self._context.budgets.requests, user_id, cost)
        if not self._admission.has_place(user_id):
            raise Refusal(ErrorCode.BUSY)

    def _subscribe(self, call: Call, user_id: int) -> Steps:
        """From here on no change of the user's roster is missed."""
        session = call.session
        self._roster_sync.await_roster(session, user_id)
        channel = session.channel = user_channel(user_id)
        self._subscriptions.need(channel)
        yield from call.subscribed(channel)

    def _find_states(self, call: Call, roster: Roster) -> Waiting[LocalUser]:
        """The local user of a roster that was just read, with the states of all friends."""
        session = call.session
        user = self._roster_sync.local_user(roster)
        self._roster_sync.heard(user.id, self._roster_sync.stop_awaiting_roster(session))
        user.authenticating += 1
        session.authenticating_as = user
        yield from call.turn(len(user.friends) + len(user.groups))
        asked = tuple(user.friends)
        online: set[int] = set()
        if asked and self._subscriptions.up:
            found = yield from call.attempt(FindPresence(asked))
            online = set(found.online) if isinstance(found, PresenceFound) else set()
        for friend in asked:
            self._presence.found(user, friend, online=friend in online)
        new = sorted(user.friends.keys() - set(asked))
        for friend in new:
            self._presence.assume(user, friend)
        if new:
            self._presence.find(user, new)
        return user

    def _identify(
        self, call: Call, user: LocalUser, token: str, cursors: dict[int, int] | None
    ) -> None:
        """The connection is a device of the user. `cursors` None: the backlog of a login starts at
        what the user has read."""
        session = call.session
        self._forget_user(session)
        session.step(Input.IDENTIFIED, call.now_ms)
        self._admission.authenticated(session)
        session.token = token
        session.failures = 0
        logged_in = LoggedInReply(
            re=call.id,
            user=user.user,
            token=token,
            friends=user.friends_in_order(),
            groups=user.groups_in_order(),
            requests=tuple(user.requests.values()),
        )
        call.reply(logged_in)
        self._context.runnable[session.connection] = None
        self._roster_sync.enter(session, user, cursors)
        call.charge_rows(len(logged_in.friends) + len(logged_in.groups))
        self._admission.logged_in(session, user)

    # ------------------------------------------------------------------ the end

    def forget(self, session: Session) -> None:
        """The session is not being authenticated any more, and needs no channel."""
        self._roster_sync.stop_awaiting_roster(session)
        user = self._forget_user(session)
        if user is not None and not user.sessions:
            self._presence.went(user)
        if session.channel is not None:
            self._subscriptions.release(session.channel)
            session.channel = None

    def _forget_user(self, session: Session) -> LocalUser | None:
        user, session.authenticating_as = session.authenticating_as, None
        if user is not None:
            user.authenticating -= 1
        return user
