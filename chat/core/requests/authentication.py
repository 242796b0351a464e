"""Who is there: register, login, resume, and the way to READY.

    login:   FindAccount -> CheckPassword -> channel heard -> OpenDevice ┐
    resume:  FindDevice -------------------> channel heard -> ReadRoster ┴-> FindPresence -> READY

The user's channel is heard before the roster is read, and what is heard then is kept until it has
been, so that no change of it can fall between. A token leaves the core only as its hash.
"""

import hashlib

from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import user_channel
from chat.core.ports.operations import (
    AccountFound,
    AnyOutcome,
    CheckPassword,
    CreateUser,
    DeviceFound,
    DeviceOpened,
    FindAccount,
    FindDevice,
    FindPresence,
    HashPassword,
    OpenDevice,
    PasswordChecked,
    PasswordHashed,
    PresenceFound,
    ReadRoster,
    Refused,
    RosterRead,
    Unknown,
    UserCreated,
)
from chat.core.roster.presence import Presence
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.context import Context, error_frame
from chat.core.state.pending import (
    EntrancePresence,
    EntranceRoster,
    LoginCheck,
    LoginFind,
    LoginSubscribed,
    Pending,
    RegisterHash,
    RegisterStore,
    ResumeFind,
    ResumeSubscribed,
    Waiter,
)
from chat.core.state.rate_limiter import RateLimiter
from chat.core.state.session import Session
from chat.core.state.user import LocalUser
from chat.protocol.codec import encode
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import (
    LoggedInReply,
    LoginRequest,
    RegisteredReply,
    RegisterRequest,
    ResumeRequest,
)
from chat.protocol.rules import Input, State, Verdict


def token_sha256(token: str) -> bytes:
    """What the store knows of a token."""
    return hashlib.sha256(token.encode()).digest()


class Authentication:
    """The requests that a session in ANONYMOUS may make, and their way through the store."""

    def __init__(
        self, context: Context, channels: Subscriptions, people: RosterSync, presence: Presence
    ) -> None:
        self._context = context
        self._channels = channels
        self._people = people
        self._presence = presence
        per_minute = context.config.failed_logins_per_minute
        self._failures: RateLimiter[tuple[str, str]] = RateLimiter(
            per_second=per_minute / 60, burst=per_minute
        )

    # ------------------------------------------------------------------ register

    def register(self, session: Session, request: RegisterRequest) -> None:
        record = RegisterHash(session.connection, request.id, request.name)
        self._context.query(record, HashPassword(request.password))

    def register_hashed(self, record: RegisterHash, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        if not isinstance(outcome, PasswordHashed):
            self._turn_away(session, record, outcome)
            return
        create = CreateUser(record.name, outcome.password_hash, self._context.now_ms)
        self._context.query(RegisterStore(record.connection, record.re), create)

    def register_stored(self, record: RegisterStore, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        if isinstance(outcome, UserCreated):
            session.step(Input.UNIDENTIFIED, self._context.now_ms)
            self._context.reply(session, encode(RegisteredReply(re=record.re, user=outcome.user)))
        else:
            self._turn_away(session, record, outcome)

    # ------------------------------------------------------------------ login

    def login(self, session: Session, request: LoginRequest) -> None:
        attempt = (str(request.user).lower(), session.address)
        record = LoginFind(session.connection, request.id, request.password, attempt)
        self._context.query(record, FindAccount(request.user))

    def login_found(self, record: LoginFind, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        if not isinstance(outcome, AccountFound):
            self._turn_away(session, record, outcome)
            return
        account = outcome.account
        user = account.user if account else None
        # An account is one account, whether it is called by name or by number.
        attempt = (f"#{user.id}", session.address) if user else record.attempt
        if self._too_many_failures(session, record, attempt):
            return
        check = CheckPassword(record.password, account.password_hash if account else None)
        self._context.query(LoginCheck(record.connection, record.re, user, attempt), check)

    def login_checked(self, record: LoginCheck, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        # Those that were checked at the same time may have failed meanwhile. A guess that is right
        # is not told from a wrong one then, or guessing at once would evade the limit.
        if isinstance(outcome, PasswordChecked) and self._too_many_failures(
            session, record, record.attempt
        ):
            return
        if isinstance(outcome, PasswordChecked) and outcome.matches and record.user:
            user = record.user.id
            subscribed = LoginSubscribed(record.connection, record.re, user, outcome.token)
            if not self._listen(session, user, subscribed):
                self.login_subscribed(subscribed)
            return
        if isinstance(outcome, PasswordChecked):
            self._failures.take(record.attempt, self._context.now_ms)
            outcome = Refused(ErrorCode.BAD_CREDENTIALS)
        self._turn_away(session, record, outcome)

    def _too_many_failures(
        self, session: Session, record: Waiter, attempt: tuple[str, str]
    ) -> bool:
        """Whether the account may not be tried for now; its peer is told so."""
        now_ms = self._context.now_ms
        if self._failures.ready(attempt, now_ms):
            return False
        wait_ms = self._failures.wait_ms(attempt, now_ms)
        session.step(Input.UNIDENTIFIED, now_ms)
        frame = error_frame(ErrorCode.RATE_LIMITED, record.re, wait_ms=wait_ms)
        self._context.reply(session, frame)
        return True

    def login_subscribed(self, record: LoginSubscribed) -> None:
        if self._waiting(record) is None:
            return
        opened = OpenDevice(record.user, token_sha256(record.token), self._context.now_ms)
        self._context.query(
            EntranceRoster(record.connection, record.re, record.token, None), opened
        )

    # ------------------------------------------------------------------ resume

    def resume(self, session: Session, request: ResumeRequest) -> None:
        record = ResumeFind(session.connection, request.id, request.token, request.cursors)
        find = FindDevice(token_sha256(request.token), self._context.now_ms)
        self._context.query(record, find)

    def resume_found(self, record: ResumeFind, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        if not isinstance(outcome, DeviceFound):
            self._turn_away(session, record, outcome)
            return
        subscribed = ResumeSubscribed(
            record.connection, record.re, outcome.user, record.token, record.cursors
        )
        if not self._listen(session, outcome.user, subscribed):
            self.resume_subscribed(subscribed)

    def resume_subscribed(self, record: ResumeSubscribed) -> None:
        if self._waiting(record) is None:
            return
        self._context.query(
            EntranceRoster(record.connection, record.re, record.token, record.cursors),
            ReadRoster(record.user),
        )

    # ------------------------------------------------------------------ both

    def roster_read(self, record: EntranceRoster, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        if not isinstance(outcome, DeviceOpened | RosterRead):
            self._turn_away(session, record, outcome)
            return
        user = self._people.know(outcome.roster)
        self._people.news(user.id, self._people.expect_no_more(session))
        user.entering += 1
        session.entering = user
        entering = EntrancePresence(
            record.connection, record.re, user.id, record.token, record.cursors
        )
        if user.friends and self._channels.up:
            self._context.query(entering, FindPresence(tuple(user.friends)))
        else:
            self.presence_found(entering, PresenceFound(()))

    def presence_found(self, record: EntrancePresence, outcome: AnyOutcome) -> None:
        session = self._waiting(record)
        if session is None:
            return
        user = self._stop_entering(session)
        assert user is not None
        online = set(outcome.online) if isinstance(outcome, PresenceFound) else set()
        for friend in user.friends:
            self._presence.found(user, friend, online=friend in online)
        session.step(Input.IDENTIFIED, self._context.now_ms)
        session.token = record.token
        logged_in = LoggedInReply(
            re=record.re,
            user=user.roster.user,
            token=record.token,
            friends=tuple(user.friend(row) for row in user.friends.values()),
            groups=user.roster.groups,
            requests=user.roster.requests,
        )
        self._context.reply(session, encode(logged_in))
        self._people.enter(session, user, record.cursors)

    def forget(self, session: Session) -> None:
        """The session is not on its way in any more, nor does it listen."""
        self._people.expect_no_more(session)
        user = self._stop_entering(session)
        if user is not None and not user.sessions:
            self._presence.went(user)
        if session.listens_to is not None:
            self._channels.release(session.listens_to)
            session.listens_to = None

    def _stop_entering(self, session: Session) -> LocalUser | None:
        user, session.entering = session.entering, None
        if user is not None:
            user.entering -= 1
        return user

    def _listen(self, session: Session, user: int, record: Pending) -> bool:
        """Whether the record now waits for the user's channel to be heard."""
        self._people.expect(session, user)
        channel = session.listens_to = user_channel(user)
        self._channels.need(channel)
        return self._channels.wait(channel, record)

    def _waiting(self, record: Waiter) -> Session | None:
        """The session that the record's request came from, if it still waits."""
        session = self._context.sessions.get(record.connection)
        if (
            session is None
            or session.step(Input.ANSWER, self._context.now_ms).verdict is Verdict.IGNORE
        ):
            return None
        assert session.state is State.AUTHENTICATING
        return session

    def _turn_away(self, session: Session, record: Waiter, outcome: AnyOutcome) -> None:
        """The connection stays nobody's: an error, or, when nobody knows what became of the
        request, the end of the connection."""
        self.forget(session)
        if isinstance(outcome, Unknown):
            self._context.close(session, Input.ANSWER_UNKNOWN)
            return
        session.step(Input.UNIDENTIFIED, self._context.now_ms)
        refused = outcome if isinstance(outcome, Refused) else Refused(ErrorCode.UNAVAILABLE)
        self._context.refuse(session, record.re, refused)
