"""The client's side of the protocol: one device of one user, through any number of connections.

Theory of operation
-------------------

`handle(event, now_ms)` takes what happened and gives what is to be done; it knows no sockets, no clock and no
screen. Three things outlive a connection and make the contract hold on this side:

- the *outbox*: texts with their keys, sent again until they are settled (chat/client/outbox.py);
- the *cursors*: the last seq applied of each conversation. An entry is applied if it is the next,
  dropped if it is not above the cursor; one further on means that something went wrong, and the
  link is given up and resumed from the cursors;
- the *token*, with which a lost connection is resumed.

A link is `dialling`, then `greeted` once the node's `welcome` came, then `entering` while login, resume
or register is decided, then `ready`. A link that breaks is dialled again after a pause that
doubles, with full jitter, as long as somebody wants to be logged in.

Requests other than sends wait for `ready` and go out as they come (chat/client/asks.py).
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from chat.client.asks import Asks, Marks
from chat.client.interface import (
    AnyEffect,
    AnyEvent,
    Applied,
    Ask,
    BytesReceived,
    Connected,
    Dial,
    Disconnected,
    Event,
    HangUp,
    Heard,
    LinkLost,
    LoggedIn,
    LoggedOut,
    LogIn,
    LoginRefused,
    LogOut,
    NotSent,
    Refused,
    Register,
    Registered,
    RegisterRefused,
    Replied,
    Say,
    Sent,
    Shown,
    Tick,
    Transmit,
    Unclear,
    Waiting,
)
from chat.client.outbox import Item, Outbox
from chat.client.roster import Roster
from chat.core._generated.errors import ErrorCode
from chat.core._generated.messages import (
    DoneReply,
    DrainingPush,
    Entry,
    EntryKind,
    ErrorReply,
    LoggedInReply,
    LoginRequest,
    LogoutRequest,
    MarkReadRequest,
    MessagePush,
    PingPush,
    PingRequest,
    RegisteredReply,
    RegisterRequest,
    Request,
    ResumeRequest,
    SentReply,
    ServerMessage,
    SnapshotReply,
    User,
    WelcomePush,
)
from chat.core.frames import FrameSplitter

LINE_BYTES: Final = 4 * 1024 * 1024
ENTER_MS: Final = 15_000
"""How long connecting, and then logging in, may take."""
SILENCE_MS: Final = 20_000
PONG_MS: Final = 10_000
FIRST_PAUSE_MS: Final = 200
LONGEST_PAUSE_MS: Final = 10_000
RETRY_MS: Final = 1_000

_decoder: Final = msgspec.json.Decoder(ServerMessage)
_encoder: Final = msgspec.json.Encoder()


class LinkState(IntEnum):
    """Where the present connection stands."""

    DOWN = 0
    DIALLING = 1
    GREETED = 2
    ENTERING = 3
    READY = 4


class ClientSession:
    """One device. `key_prefix` must be new for each device, so that no two share a key; `jitter` gives
    numbers in [0, 1)."""

    def __init__(self, key_prefix: str, jitter: Callable[[], float]) -> None:
        self.roster = Roster()
        self.user: User | None = None
        self.state = LinkState.DOWN
        self._jitter = jitter
        self._outbox = Outbox(key_prefix)
        self._effects: list[AnyEffect] = []
        self._now_ms = 0
        self._link = 0
        self._frames = FrameSplitter()
        self._next_id = 0
        self._login: LogIn | None = None
        self._register: Register | None = None
        self._token: str | None = None
        self._leaving = False
        self._entering_re = 0
        self._asks = Asks()
        self._marks = Marks()
        self._failures = 0
        self._pause_at_least_ms = 0
        self._dial_at_ms: int | None = None
        self._begun_at_ms = 0
        self._heard_at_ms = 0
        self._pinged = False
        self._handlers: dict[type[Event], Callable[..., None]] = {
            Connected: self._connected,
            BytesReceived: self._received,
            Disconnected: self._disconnected,
            Tick: self._tick,
            LogIn: self._log_in,
            Register: self._start_register,
            LogOut: self._log_out,
            Say: self._say,
            Ask: self._ask,
            Shown: self._shown,
        }

    # ------------------------------------------------------------------ the way in

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        """What is to be done about an event. `now_ms` never goes back."""
        self._now_ms = max(self._now_ms, now_ms)
        self._effects = []
        self._handlers[type(event)](event)
        if self.state is LinkState.READY:
            self._send_what_is_due()
        return self._effects

    def next_deadline_ms(self) -> int | None:
        """When a Tick is due at the latest; None if nothing is."""
        due: list[int] = []
        if self.state is LinkState.DOWN:
            if self._dial_at_ms is not None:
                due.append(self._dial_at_ms)
        elif self.state is LinkState.READY:
            silence_ms = SILENCE_MS + PONG_MS if self._pinged else SILENCE_MS
            due.append(self._heard_at_ms + silence_ms)
            waits_until_ms = self._outbox.next_due_ms()
            if waits_until_ms is not None:
                due.append(waits_until_ms)
            marks_due_ms = self._marks.next_due_ms()
            if marks_due_ms is not None:
                due.append(marks_due_ms)
        elif self._wanted():
            due.append(self._begun_at_ms + ENTER_MS)
        return min(due, default=None)

    @property
    def unsettled(self) -> int:
        """Texts and requests whose outcome has not been told yet."""
        return len(self._outbox) + len(self._asks)

    # ------------------------------------------------------------------ what the person wants

    def _log_in(self, event: LogIn) -> None:
        self._login = event
        self._token = None
        self._begin()

    def _start_register(self, event: Register) -> None:
        self._register = event
        self._begin()

    def _begin(self) -> None:
        self._failures = 0
        if self.state is LinkState.DOWN:
            self._dial()
        elif self.state is LinkState.GREETED:
            self._enter()

    def _log_out(self, event: LogOut) -> None:
        self._login = None
        if self.state is LinkState.READY and not self._leaving:
            self._leaving = True
            self._send_marks(self._marks.take_all())
            self._asks.add(0, LogoutRequest(id=0))
        else:
            self._out()

    def _out(self) -> None:
        """Nobody is logged in any more."""
        self._login, self._token, self.user = None, None, None
        self._leaving = False
        self._give_up_link()
        self._dial_at_ms = None
        self.roster = Roster()
        self._effects.append(LoggedOut())

    def _say(self, event: Say) -> None:
        self._outbox.add(event.number, event.text, event.to, event.group)

    def _ask(self, event: Ask) -> None:
        self._asks.add(event.number, event.request)

    def _shown(self, event: Shown) -> None:
        self._marks.shown(event.conversation, event.seq)

    # ------------------------------------------------------------------ links

    def _wanted(self) -> bool:
        return self._login is not None or self._register is not None

    def _dial(self) -> None:
        self._link += 1
        self.state = LinkState.DIALLING
        self._frames = FrameSplitter()
        self._begun_at_ms = self._now_ms
        self._dial_at_ms = None
        self._effects.append(Dial(self._link))

    def _connected(self, event: Connected) -> None:
        """The node speaks first; there is nothing to do before its welcome."""

    def _disconnected(self, event: Disconnected) -> None:
        if self._alive(event.link):
            self._down(event.reason)

    def _give_up_link(self) -> None:
        if self.state is not LinkState.DOWN:
            self.state = LinkState.DOWN
            self._effects.append(HangUp(self._link))
            self._settle_unanswered()

    def _break(self, reason: str) -> None:
        """This link is no good; another one is tried."""
        self._effects.append(HangUp(self._link))
        self._down(reason)

    def _down(self, reason: str) -> None:
        self.state = LinkState.DOWN
        self._settle_unanswered()
        if self._leaving:
            self._out()
        if not self._wanted():
            return
        longest_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(self._failures, 10))
        self._failures += 1
        pause_ms = self._pause_at_least_ms + int(longest_ms * self._jitter())
        self._pause_at_least_ms = 0
        self._dial_at_ms = self._now_ms + pause_ms
        self._effects.append(LinkLost(reason, pause_ms))

    def _settle_unanswered(self) -> None:
        """No reply is coming: what may be done twice is asked again, of the rest nobody knows."""
        self._outbox.link_broke()
        self._pinged = False
        self._marks.link_broke()
        for number in self._asks.link_broke():
            self._effects.append(Unclear(number))

    # ------------------------------------------------------------------ time

    def _tick(self, event: Tick) -> None:
        now_ms = self._now_ms
        if self.state is LinkState.DOWN:
            if self._dial_at_ms is not None and now_ms >= self._dial_at_ms:
                self._dial()
        elif self.state is LinkState.READY:
            silent_ms = now_ms - self._heard_at_ms
            if self._pinged and silent_ms >= SILENCE_MS + PONG_MS:
                self._break("the node fell silent")
            elif not self._pinged and silent_ms >= SILENCE_MS:
                self._pinged = True
                self._request(PingRequest(id=0))
        elif self._wanted() and now_ms >= self._begun_at_ms + ENTER_MS:
            self._break("the node did not answer in time")

    # ------------------------------------------------------------------ entering

    def _enter(self) -> None:
        """Says who is there, on a link that was greeted."""
        request: Request
        if self._register is not None:
            request = RegisterRequest(
                id=0, name=self._register.name, password=self._register.password
            )
        elif self._login is None:
            return
        elif self._token is not None:
            request = ResumeRequest(id=0, token=self._token, cursors=dict(self.roster.cursors))
        else:
            request = LoginRequest(id=0, user=self._login.user, password=self._login.password)
        self.state = LinkState.ENTERING
        self._begun_at_ms = self._now_ms
        self._entering_re = self._request(request)

    def _entered(self, reply: LoggedInReply) -> None:
        resumed = self._token is not None
        again = self.user is not None
        self.state = LinkState.READY
        self._failures = 0
        self.user, self._token = reply.user, reply.token
        self.roster.enter(reply, resumed=resumed)
        self._effects.append(LoggedIn(reply.user, again))

    def _not_entered(self, reply: ErrorReply) -> None:
        """A refusal: of a token, there is still the password; of anything else, it is told."""
        self.state = LinkState.GREETED
        if self._register is not None:
            self._register = None
            self._effects.append(RegisterRefused(reply.code, reply.message))
            self._enter()
        elif self._token is not None and reply.code is ErrorCode.BAD_CREDENTIALS:
            self._token = None
            self._enter()
        elif self.user is not None and reply.code is not ErrorCode.BAD_CREDENTIALS:
            self._pause_at_least_ms = reply.retry_after_ms or RETRY_MS
            self._break(reply.message)
        else:
            self._login, self._token, self.user = None, None, None
            self._effects.append(LoginRefused(reply.code, reply.message))

    # ------------------------------------------------------------------ requests

    def _request(self, request: Request) -> int:
        """Sends a request under the next id."""
        self._next_id += 1
        data = _encoder.encode(replace(request, id=self._next_id)) + b"\n"
        self._effects.append(Transmit(self._link, data))
        return self._next_id

    def _send_what_is_due(self) -> None:
        for asked in self._asks.take_waiting():
            self._asks.sent(asked, self._request(asked.request))
        for item in self._outbox.due(self._now_ms):
            self._outbox.sent(item, self._request(item.request(0)))
        self._send_marks(self._marks.take_due(self._now_ms))

    def _send_marks(self, marks: list[tuple[int, int]]) -> None:
        for conversation, seq in marks:
            request = MarkReadRequest(id=0, conversation=conversation, seq=seq)
            self._marks.sent(conversation, seq, self._request(request))

    # ------------------------------------------------------------------ what the node says

    def _received(self, event: BytesReceived) -> None:
        if not self._alive(event.link):
            return
        self._heard_at_ms = self._now_ms
        self._pinged = False
        self._frames.feed(event.data)
        while self._alive(event.link):
            line = self._frames.take(LINE_BYTES)
            if line is None:
                if self._frames.too_long:
                    self._break("the node sent a line without end")
                return
            try:
                message = _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # a later protocol may have pushes that this client does not know
            self._take(message)

    def _alive(self, link: int) -> bool:
        return link == self._link and self.state is not LinkState.DOWN

    def _take(self, message: ServerMessage) -> None:
        if isinstance(message, MessagePush):
            self._take_entry(message)
        elif isinstance(message, SentReply):
            self._take_sent(message)
        elif isinstance(message, ErrorReply):
            self._take_error(message)
        elif isinstance(message, WelcomePush):
            self.state = LinkState.GREETED
            self._enter()
        elif isinstance(message, LoggedInReply):
            self._entered(message)
        elif isinstance(message, RegisteredReply):
            self.state = LinkState.GREETED
            self._register = None
            self._effects.append(Registered(message.user))
            self._enter()
        elif isinstance(message, PingPush):
            self._request(PingRequest(id=0))
        elif isinstance(message, DrainingPush):
            self._pause_at_least_ms = message.retry_after_ms
        elif (re := getattr(message, "re", None)) is not None:
            self._take_reply(re, message)
        else:
            self.roster.hear(message)
            self._effects.append(Heard(message))

    def _take_reply(self, re: int, reply: ServerMessage) -> None:
        asked = self._asks.replied(re)
        if self._marks.replied(re) or asked is None:
            return
        if isinstance(asked.request, LogoutRequest):
            self._out()
            return
        if isinstance(reply, SnapshotReply):
            self.roster.hear(reply)
        self._effects.append(Replied(asked.number, reply))

    def _take_error(self, error: ErrorReply) -> None:
        re = error.re
        if re is None or self.state is LinkState.ENTERING:
            if self.state is LinkState.ENTERING and re in (None, self._entering_re):
                self._not_entered(error)
            return  # without `re` the node is about to close the connection
        item = self._outbox.replied(re)
        asked = self._asks.replied(re)
        if item is not None:
            self._put_off_or_fail(item, error)
        elif asked is not None:
            if isinstance(asked.request, LogoutRequest):
                self._out()
            elif asked.was_done_before(error.code):
                self._effects.append(Replied(asked.number, DoneReply(re=re)))
            else:
                self._effects.append(Refused(asked.number, error.code, error.message))
        else:
            self._marks.replied(re)

    def _put_off_or_fail(self, item: Item, error: ErrorReply) -> None:
        if error.retry_after_ms is not None:
            item.not_before_ms = self._now_ms + error.retry_after_ms
            self._effects.append(Waiting(item.number, error.message, error.retry_after_ms))
        else:
            self._outbox.settle(item)
            self._effects.append(NotSent(item.number, item.text, error.code, error.message))

    # ------------------------------------------------------------------ entries

    def _take_entry(self, push: MessagePush) -> None:
        cursor = self.roster.cursors.get(push.conversation)
        item = self._outbox.of_key(push.key)
        if item is not None:
            self._settle(item, push.conversation, push.seq)
        if cursor is None or push.seq <= cursor:
            return
        if push.seq > cursor + 1:
            self._break("an entry was missing")
            return
        entry = Entry(
            seq=push.seq,
            kind=push.kind,
            from_=push.from_,
            text=push.text,
            at=push.at,
            key=push.key,
        )
        self._apply(push.conversation, entry, own=item is not None)

    def _take_sent(self, reply: SentReply) -> None:
        """The reply stands in the entry's place in the stream, so the entry is applied by it."""
        item = self._outbox.replied(reply.re)
        if item is None or self.user is None:
            return
        cursor = self.roster.cursors.get(reply.conversation)
        if cursor is not None and reply.seq == cursor + 1:
            entry = Entry(
                seq=reply.seq,
                kind=EntryKind.TEXT,
                from_=self.user,
                text=item.text,
                at=reply.at,
                key=item.key,
            )
            self._apply(reply.conversation, entry, own=True)
        self._settle(item, reply.conversation, reply.seq)
        if cursor is not None and reply.seq > cursor + 1:
            self._break("an entry was missing")

    def _settle(self, item: Item, conversation: int, seq: int) -> None:
        self._outbox.settle(item)
        self._effects.append(Sent(item.number, conversation, seq))

    def _apply(self, conversation: int, entry: Entry, *, own: bool) -> None:
        self.roster.cursors[conversation] = entry.seq
        self._effects.append(Applied(conversation, entry, own))
