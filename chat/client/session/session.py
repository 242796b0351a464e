"""The client's side of the protocol: one device of one person. Pure: events in, effects out.

Theory of operation
-------------------

A device is a cursor on each conversation (chat/client/session/device.py) and an outbox of what is
not settled yet (chat/client/session/outgoing.py). Both outlive the connection, which comes and goes:

    dial ─> `welcome` ─> login, or resume with the token and the cursors ─> `logged_in`
         ─> entries past the cursors; what is unsettled is sent again under the same keys

Everything that can go wrong with a connection ends in the same place, `_lost`: silence, a reply
that never comes, bytes that make no sense, a gap before an entry. What was in flight is unknown
from there on, and the next connection settles it.

`sent` stands in the place of one's own entry in the stream, so it moves the cursor like an entry.
It need not be the next: what was stored on an earlier connection may have come back as an entry
already, which settles it just as well.

Invariants:

1. An entry is told (`EntryApplied`) exactly if it is the one after the cursor.
2. A send is told once: `SendSettled` or `SendFailed`. After `SendSettled` it is in the log.
3. Nothing waits for a reply but on the present connection.
4. Nothing is asked but in ONLINE, and nothing new once the node drains or the person leaves.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from chat.client.session import interface as io
from chat.client.session.authentication import ENVELOPE_BYTES, Entrance
from chat.client.session.calls import Entering, Exchange, Leaving, Mark, Nonsense
from chat.client.session.connection import Connection, Due, Phase, Timing
from chat.client.session.cursors import Cursors
from chat.client.session.device import Device
from chat.client.session.outbox import Item
from chat.client.session.outgoing import Errands
from chat.client.session.request_queue import Asked
from chat.client.session.roster import Roster
from chat.protocol import messages as wire
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.rules import LIMITS, PROTOCOL

MISSING: Final = "an entry is missing"
ALREADY: Final = ERRORS[ErrorCode.ALREADY_LOGGED_IN].message


class ClientSession:
    """`key_prefix` makes the keys of this session's sends unlike those of any other session of the
    user: at most 40 printable ASCII characters, drawn at random. `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self, key_prefix: str, jitter: Callable[[], float], timing: Timing | None = None
    ) -> None:
        self._timing = timing or Timing()
        self._now_ms = 0
        self._effects: list[io.AnyEffect] = []
        self._device = Device(self._timing.mark_ms, self._tell)
        self._exchange = Exchange(self._timing.reply_ms)
        self._errands = Errands(key_prefix, self._exchange, self._tell)
        self._entrance = Entrance()
        self._connection = Connection(self._timing, jitter)
        self._leave_by_ms: int | None = None
        self._draining = False
        self._dial_not_before_ms = 0
        self._last_words = ""
        self._login_line_bytes = LIMITS.login_line_bytes
        self._most_in_flight = LIMITS.in_flight

    # ------------------------------------------------------------------ looking in

    @property
    def roster(self) -> Roster:
        return self._device.roster

    @property
    def cursors(self) -> Cursors:
        return self._device.cursors

    @property
    def online(self) -> bool:
        return self._connection.phase is Phase.ONLINE

    @property
    def logged_in(self) -> bool:
        """As far as the person can tell: the connection may be away for the moment."""
        return self._entrance.inside

    @property
    def unsettled(self) -> int:
        """Sends and requests that are not settled."""
        return len(self._errands.outbox) + len(self._errands.questions)

    @property
    def _may_ask(self) -> bool:
        return self.online and not self._draining and self._leave_by_ms is None

    # ------------------------------------------------------------------ driving

    def handle(self, event: io.AnyEvent, now_ms: int) -> list[io.AnyEffect]:
        """What the event brings about, in order. `now_ms` never goes back."""
        self._now_ms = now_ms
        _HANDLERS[type(event)](self, event)
        self._run_deadlines()
        self._pump()
        data = self._exchange.data()
        if data:
            self._tell(io.Transmit(self._connection.number, data))
        effects, self._effects = self._effects, []
        return effects

    def next_deadline_ms(self) -> int | None:
        """When to send a Tick, if nothing else comes before."""
        connection = self._connection
        times = [connection.next_deadline_ms(), self._leave_by_ms]
        if self.online:
            times.append(self._exchange.overdue_at_ms())
        if connection.phase is Phase.ANONYMOUS and self._entrance.wanted:
            times.append(self._entrance.retry_at_ms)
        if self._may_ask:
            times.append(self._errands.next_deadline_ms(self._device, self._now_ms))
        return min([time for time in times if time is not None], default=None)

    def _tell(self, effect: io.AnyEffect) -> None:
        self._effects.append(effect)

    def _run_deadlines(self) -> None:
        now_ms = self._now_ms
        if self._leave_by_ms is not None and now_ms >= self._leave_by_ms:
            self._left()
        if self.online:
            overdue_at_ms = self._exchange.overdue_at_ms()
            if overdue_at_ms is not None and now_ms >= overdue_at_ms:
                self._drop("the node did not answer")
        if self._draining and not len(self._exchange):
            self._drop("the node is about to stop")
        due = self._connection.due(now_ms)
        if due is Due.DIAL:
            self._dial()
        elif due is Due.PING:
            self._exchange.ping(now_ms)
            self._connection.pinged(now_ms)
        elif due is Due.GIVE_UP:
            self._drop("nothing was heard of the node")
        if self._connection.phase is Phase.IDLE and self._entrance.wanted:
            self._dial()

    def _pump(self) -> None:
        """Says whatever may be said now."""
        if self._may_ask:
            self._errands.say(self._device, self._most_in_flight, self._now_ms)
        elif (
            self._connection.phase is Phase.ANONYMOUS
            and self._entrance.wanted
            and self._now_ms >= self._entrance.retry_at_ms
        ):
            self._knock()

    # ------------------------------------------------------------------ the connection

    def _dial(self) -> None:
        self._tell(io.ConnectionState(io.Link.CONNECTING))
        self._tell(io.Dial(self._connection.dial(self._now_ms)))

    def _connected(self, event: io.Connected) -> None:
        connection = self._connection
        if connection.is_current(event.connection) and connection.phase is Phase.DIALING:
            self._exchange.begin()
            self._last_words = ""
            connection.enter(Phase.GREETING, self._now_ms)

    def _disconnected(self, event: io.Disconnected) -> None:
        if self._connection.is_current(event.connection):
            self._lost(event.reason)

    def _drop(self, reason: str) -> None:
        """Ends the connection, if there is one; the next one makes good what is missing."""
        if self._connection.phase >= Phase.DIALING:
            self._tell(io.HangUp(self._connection.number))
            self._lost(reason)

    def _lost(self, reason: str) -> None:
        for pending in self._exchange.end():
            if isinstance(pending, Entering) and isinstance(pending.request, wire.RegisterRequest):
                self._entrance.register = None
                message = "The connection broke before the answer came; try to log in."
                self._tell(io.RegisterFailed(None, message))
        self._draining = False
        self._errands.connection_lost()
        self._device.connection_lost()
        reason = self._last_words or reason
        if self._entrance.wanted and self._leave_by_ms is None:
            wait_ms = self._connection.lose(self._now_ms, self._dial_not_before_ms)
            self._tell(io.ConnectionState(io.Link.WAITING, reason, wait_ms))
            return
        self._connection.close(self._now_ms)
        self._tell(io.ConnectionState(io.Link.IDLE, reason))
        if self._leave_by_ms is not None:
            self._left()

    def _received(self, event: io.BytesReceived) -> None:
        if not (self._connection.up and self._connection.is_current(event.connection)):
            return
        self._connection.heard(self._now_ms)
        try:
            for message in self._exchange.messages(event.data):
                _HANDLERS[type(message)](self, message)
                if not self._connection.up:
                    return
        except Nonsense as nonsense:
            self._drop(str(nonsense))

    def _welcomed(self, push: wire.WelcomePush) -> None:
        if self._connection.phase is not Phase.GREETING:
            return
        if push.protocol != PROTOCOL:
            self._tell(io.HangUp(self._connection.number))
            self._connection.close(self._now_ms)
            versions = f"The node speaks version {push.protocol} of the protocol, not {PROTOCOL}"
            self._turned_away(None, f"{versions}; install the client that goes with the node.")
            return
        self._connection.learn(push.limits)
        self._connection.enter(Phase.ANONYMOUS, self._now_ms)
        self._login_line_bytes = push.limits.login_line_bytes
        self._most_in_flight = max(push.limits.in_flight, 1)
        self._entrance.retry_at_ms = self._now_ms
        self._dial_not_before_ms = 0
        self._tell(io.ConnectionState(io.Link.CONNECTED))

    def _drains(self, push: wire.DrainingPush) -> None:
        self._draining = True
        self._dial_not_before_ms = self._now_ms + push.retry_after_ms

    def _pinged(self, push: wire.PingPush) -> None:
        if self._connection.phase >= Phase.ANONYMOUS:
            self._exchange.answer_ping()

    # ------------------------------------------------------------------ the way in

    def _log_in(self, event: io.LogIn) -> None:
        if self._is_entering:
            self._tell(io.LoginFailed(ErrorCode.ALREADY_LOGGED_IN, ALREADY))
        else:
            self._entrance.login, self._entrance.register = event, None

    def _register(self, event: io.Register) -> None:
        if self._is_entering:
            self._tell(io.RegisterFailed(ErrorCode.ALREADY_LOGGED_IN, ALREADY))
        else:
            self._entrance.login, self._entrance.register = None, event

    @property
    def _is_entering(self) -> bool:
        return self._entrance.inside or self._connection.phase is Phase.ENTERING

    def _knock(self) -> None:
        named = self.cursors.to_name(self._login_line_bytes - ENVELOPE_BYTES)
        request = self._entrance.request(named)
        id = self._exchange.expect(Entering(request), self._now_ms)
        self._exchange.write(replace(request, id=id))
        self._connection.enter(Phase.ENTERING, self._now_ms)

    def _registered(self, reply: wire.RegisteredReply) -> None:
        if isinstance(self._exchange.take(reply.re, self._now_ms), Entering):
            self._entrance.register = None
            self._connection.enter(Phase.ANONYMOUS, self._now_ms)
            self._tell(io.Registered(reply.user))

    def _entered(self, reply: wire.LoggedInReply) -> None:
        entering = self._exchange.take(reply.re, self._now_ms)
        if not isinstance(entering, Entering):
            return
        again = self._entrance.inside
        resumed = isinstance(entering.request, wire.ResumeRequest)
        self._entrance.entered(reply.token)
        self._connection.enter(Phase.ONLINE, self._now_ms)
        if self._device.enter(reply, again=again, resumed=resumed):
            self._learn_names()
        else:
            self._drop(MISSING)

    def _learn_names(self) -> None:
        for friend in self.roster.friends.values():
            self._errands.outbox.resolve(friend.name, friend.id)

    def _turned_away(self, code: ErrorCode | None, message: str) -> None:
        """The person has to come in anew; what was not settled is given back."""
        entrance = self._entrance
        registering, entering = entrance.register is not None, entrance.login is not None
        self._forget()
        if registering:
            self._tell(io.RegisterFailed(code, message))
        elif entering:
            self._tell(io.LoginFailed(code, message))
        else:
            self._tell(io.ConnectionState(io.Link.IDLE, message))

    # ------------------------------------------------------------------ the way out

    def _log_out(self, event: io.LogOut) -> None:
        if not self.online:
            self._left()
        elif self._leave_by_ms is None:
            for conversation, seq in self._device.marks.take(self._now_ms, all_now=True):
                self._exchange.mark(conversation, seq, self._now_ms)
            id = self._exchange.expect(Leaving(), self._now_ms)
            self._exchange.write(wire.LogoutRequest(id=id))
            self._leave_by_ms = self._now_ms + self._timing.leave_ms

    def _left(self) -> None:
        """Nobody is there any more."""
        self._leave_by_ms = None
        if self._connection.phase >= Phase.DIALING:
            self._tell(io.HangUp(self._connection.number))
        self._connection.close(self._now_ms)
        self._forget()
        self._tell(io.LoggedOut())

    def _forget(self) -> None:
        self._errands.give_back()
        self._exchange.end()
        self._entrance.forget()
        self._draining = False
        self._device = Device(self._timing.mark_ms, self._tell)

    # ------------------------------------------------------------------ what the person does

    def _send(self, event: io.SendChat | io.SendGroupChat) -> None:
        if not self._takes_errands:
            self._errands.refuse_send(event, ErrorCode.NOT_LOGGED_IN)
        elif isinstance(event, io.SendChat):
            self._errands.chat(event, self.roster)
        else:
            self._errands.group_chat(event)

    def _ask(self, event: io.Ask) -> None:
        if self._takes_errands:
            self._errands.ask(event)
        else:
            self._errands.refuse_ask(event, ErrorCode.NOT_LOGGED_IN)

    @property
    def _takes_errands(self) -> bool:
        return self.logged_in and self._leave_by_ms is None

    def _shown(self, event: io.Shown) -> None:
        self._device.shown(event.conversation, event.seq)

    def _tick(self, event: io.Tick) -> None:
        """Whatever is due is done after every event."""

    # ------------------------------------------------------------------ entries

    def _message(self, push: wire.MessagePush) -> None:
        if not self._device.message(push):
            self._drop(MISSING)
        elif push.key is not None and self._device.is_own(push.from_):
            self._errands.settle_by_key(push.key, push.conversation, push.seq)

    def _sent(self, reply: wire.SentReply) -> None:
        item = self._exchange.take(reply.re, self._now_ms)
        if isinstance(item, Item):
            joins_on = self._device.sent(reply, item.text, item.key)
            self._errands.settle(item, reply.conversation, reply.seq)
            if not joins_on:
                self._drop(MISSING)

    def _friend_added(self, push: wire.FriendPush) -> None:
        joins_on = self._device.friend_added(push)
        self._errands.outbox.resolve(push.friend.name, push.friend.id)
        if not joins_on:
            self._drop(MISSING)

    # ------------------------------------------------------------------ replies

    def _done(self, reply: wire.DoneReply) -> None:
        match self._exchange.take(reply.re, self._now_ms):
            case Asked() as asked:
                self._errands.finish(asked, reply)
            case Mark(conversation, seq):
                self._device.marked(conversation, seq)
            case Leaving():
                self._left()
            case _:
                pass

    def _answered(self, reply: io.QuestionReply) -> None:
        asked = self._exchange.take(reply.re, self._now_ms)
        if not isinstance(asked, Asked):
            return
        if isinstance(reply, wire.SnapshotReply):
            self._device.snapshot(reply)
            self._learn_names()
        elif isinstance(reply, wire.GroupCreatedReply | wire.JoinedReply):
            self._device.got_group(reply.group)
        self._errands.finish(asked, reply)

    def _ponged(self, reply: wire.PongReply) -> None:
        self._exchange.take(reply.re, self._now_ms)

    # ------------------------------------------------------------------ errors

    def _error(self, error: wire.ErrorReply) -> None:
        if error.re is None:
            self._last_words = error.message
            closes = ERRORS[error.code].closes or error.code is ErrorCode.BUSY
            if not closes:
                self._drop(error.message)
            return
        pending = self._exchange.take(error.re, self._now_ms)
        retry_at_ms = self._retry_at_ms(error)
        match pending:
            case Entering():
                self._entering_refused(pending, error, retry_at_ms)
            case Leaving():
                self._left()
            case Item() | Asked() | Mark() if error.code is ErrorCode.NOT_LOGGED_IN:
                self._errands.not_looked_at(pending)
                self._drop("the node does not know who is there")
            case Item():
                self._errands.send_refused(pending, error, retry_at_ms, self._now_ms)
            case Asked():
                self._errands.ask_refused(pending, error, retry_at_ms, self._device)
            case Mark():
                self._device.marks.refused(pending.conversation, retry_at_ms)
            case _:
                pass

    def _retry_at_ms(self, error: wire.ErrorReply) -> int | None:
        """When to try again, if waiting helps."""
        wait_ms = error.retry_after_ms
        if wait_ms is None and ERRORS[error.code].retry:
            wait_ms = self._timing.retry_ms
        return None if wait_ms is None else self._now_ms + max(wait_ms, 1)

    def _entering_refused(
        self, entering: Entering, error: wire.ErrorReply, retry_at_ms: int | None
    ) -> None:
        self._connection.enter(Phase.ANONYMOUS, self._now_ms)
        too_often = error.code is ErrorCode.RATE_LIMITED and not self._entrance.inside
        if retry_at_ms is not None and not too_often:
            self._entrance.retry_at_ms = retry_at_ms
        elif isinstance(entering.request, wire.ResumeRequest):
            self._entrance.token_refused()
        else:
            self._turned_away(error.code, error.message)


def _by_device(take: Callable[[Device, Any], None]) -> Callable[[ClientSession, Any], None]:
    return lambda session, push: take(session._device, push)


_HANDLERS: Final[dict[type, Callable[[ClientSession, Any], None]]] = {
    io.Connected: ClientSession._connected,
    io.BytesReceived: ClientSession._received,
    io.Disconnected: ClientSession._disconnected,
    io.Tick: ClientSession._tick,
    io.LogIn: ClientSession._log_in,
    io.Register: ClientSession._register,
    io.SendChat: ClientSession._send,
    io.SendGroupChat: ClientSession._send,
    io.Ask: ClientSession._ask,
    io.Shown: ClientSession._shown,
    io.LogOut: ClientSession._log_out,
    wire.RegisteredReply: ClientSession._registered,
    wire.LoggedInReply: ClientSession._entered,
    wire.DoneReply: ClientSession._done,
    wire.ProfileReply: ClientSession._answered,
    wire.SnapshotReply: ClientSession._answered,
    wire.SentReply: ClientSession._sent,
    wire.GroupCreatedReply: ClientSession._answered,
    wire.JoinedReply: ClientSession._answered,
    wire.MembersReply: ClientSession._answered,
    wire.EntriesReply: ClientSession._answered,
    wire.PongReply: ClientSession._ponged,
    wire.ErrorReply: ClientSession._error,
    wire.WelcomePush: ClientSession._welcomed,
    wire.DrainingPush: ClientSession._drains,
    wire.PingPush: ClientSession._pinged,
    wire.MessagePush: ClientSession._message,
    wire.FriendPush: ClientSession._friend_added,
    wire.FriendRequestPush: _by_device(Device.friend_requested),
    wire.FriendRemovedPush: _by_device(Device.friend_removed),
    wire.PresencePush: _by_device(Device.presence),
    wire.GroupPush: _by_device(Device.group),
    wire.GroupDeletedPush: _by_device(Device.group_deleted),
    wire.ReceiptPush: _by_device(Device.receipt),
}
