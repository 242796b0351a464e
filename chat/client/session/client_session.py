"""The client's session: one device of one user on the protocol. Pure: events in, effects out.

Theory of operation
-------------------

The session is the way in. It has six parts, each in a module of its own:

    Connection              its phases, and when to dial (connection.py)
    Authentication          register, login or resume, and the token (authentication.py)
    Device                  cursors, roster and read marks (device.py)
    Outbox, RequestQueue    sends and requests that are not settled (outbox.py, request_queue.py)
    Calls                   requests that wait for a reply on this connection (calls.py)

Device, outbox and request queue outlive the connection, which comes and goes:

    Dial ─> `welcome` ─> login, or resume with the token and the cursors ─> `logged_in`
         ─> entries after the cursors; unsettled sends are sent again under the same keys

What a reply or an error means is decided in two methods, `_handle_reply` and `_handle_error`, by
the request that it answers.

Every failure of a connection ends in `_connection_lost`: silence, a missing reply, bytes that are
not the protocol, a gap before an entry. What was in flight then is unknown, and is settled on the
next connection.

`sent` stands in the place of the device's own entry in the stream, so it moves the cursor like an
entry. It need not be the next one: an entry that was stored on an earlier connection may have been
pushed already, and settles its send just as well.

Invariants:

1. An entry is told (EntryApplied) exactly if it is the one after the cursor.
2. A send is told once: SendSettled or SendFailed. After SendSettled it is in the log.
3. Replies are awaited only on the present connection.
4. Sends, queued requests and read marks are transmitted only in ONLINE; none once the node has
   said that it drains, or `logout` was sent.
"""

from collections.abc import Callable
from typing import Final, assert_never

from chat.client.session.authentication import (
    RESUME_OVERHEAD_BYTES,
    Authentication,
    AuthenticationRequest,
)
from chat.client.session.calls import Calls, Reply
from chat.client.session.connection import Connection, Due, Phase, Timing
from chat.client.session.cursors import Cursors
from chat.client.session.device import Device, DevicePush
from chat.client.session.outbox import Outbox, PendingSend
from chat.client.session.ports import effects as fx
from chat.client.session.ports import events as ev
from chat.client.session.ports import notices
from chat.client.session.ports.notices import ConnectionChanged, ConnectionStatus
from chat.client.session.ports.requests import QueuedReply
from chat.client.session.request_queue import PendingRequest, RequestQueue
from chat.client.session.roster import Roster
from chat.protocol import messages as wire
from chat.protocol.codec import BadMessage
from chat.protocol.errors import ERRORS, ErrorCode
from chat.protocol.rules import PROTOCOL

ENTRY_MISSING: Final = "an entry is missing"
WRONG_REPLY: Final = "the node answered what was not asked"
TOO_MUCH: Final = (
    "The node has more friends and groups for you than this client keeps; log in at another node."
)


class ClientSession:
    """`key_prefix` makes the keys of this session's sends unlike those of any other session of the
    user: at most 40 printable ASCII characters, drawn at random. `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self, key_prefix: str, jitter: Callable[[], float], timing: Timing | None = None
    ) -> None:
        self._timing = timing or Timing()
        self._now_ms = 0
        self._effects: list[fx.AnyEffect] = []
        self._connection = Connection(self._timing, jitter)
        self._authentication = Authentication(self._tell)
        self._calls = Calls()
        self._outbox = Outbox(key_prefix, self._tell)
        self._requests = RequestQueue(self._tell)
        self._device = Device(self._timing.read_mark_ms, self._tell)
        self._logout_by_ms: int | None = None
        """Set while the reply to `logout` is awaited."""
        self._draining = False
        """The node is about to stop; the connection ends when all replies have come."""
        self._node_error = ""
        """The last error of the node that was no reply: why it closes the connection."""

    # ------------------------------------------------------------------ reading

    @property
    def roster(self) -> Roster:
        return self._device.roster

    @property
    def cursors(self) -> Cursors:
        return self._device.cursors

    @property
    def online(self) -> bool:
        """Whether there is a connection that is logged in."""
        return self._connection.phase is Phase.ONLINE

    @property
    def logged_in(self) -> bool:
        """Whether the user is logged in; the connection may be lost for the moment."""
        return self._authentication.logged_in

    @property
    def unsettled(self) -> int:
        """How many sends and requests have no outcome yet."""
        return len(self._outbox) + len(self._requests)

    # ------------------------------------------------------------------ driving

    def handle(self, event: ev.AnyEvent, now_ms: int) -> list[fx.AnyEffect]:
        """The effects of the event, in order. `now_ms` never goes back."""
        self._now_ms = now_ms
        self._handle_event(event)
        self._run_deadlines()
        self._send_what_is_due()
        data = self._calls.take_output()
        if data:
            self._tell(fx.Transmit(self._connection.number, data))
        effects, self._effects = self._effects, []
        return effects

    def next_deadline_ms(self) -> int | None:
        """When to send a Tick, unless another event comes before."""
        times = [self._connection.next_deadline_ms(), self._logout_by_ms]
        if self.online:
            times.append(self._connection.reply_overdue_at_ms(self._calls.awaited_since_ms))
        if self._may_authenticate:
            times.append(self._authentication.retry_at_ms)
        if self._may_send:
            times.append(self._outbox.next_deadline_ms(self._now_ms))
            times.append(self._requests.next_deadline_ms(self._now_ms))
            times.append(self._device.read_marks.next_deadline_ms(self._now_ms))
        return min([time for time in times if time is not None], default=None)

    def _tell(self, effect: fx.AnyEffect) -> None:
        self._effects.append(effect)

    def _handle_event(self, event: ev.AnyEvent) -> None:
        match event:
            case ev.BytesReceived():
                self._bytes_received(event)
            case ev.Tick():
                pass  # what is due is done after every event
            case ev.Connected():
                self._connected(event)
            case ev.Disconnected():
                if self._connection.is_current(event.connection):
                    self._connection_lost(event.reason)
            case ev.LogIn() | ev.Register():
                under_way = self._connection.phase is Phase.AUTHENTICATING
                self._authentication.want(event, under_way=under_way)
            case ev.SendChat() | ev.SendGroupChat():
                self._accept_send(event)
            case ev.SubmitRequest():
                self._accept_request(event)
            case ev.MarkRead():
                self._device.mark_read(event.conversation, event.seq)
            case ev.LogOut():
                self._log_out()
            case _:
                assert_never(event)

    def _run_deadlines(self) -> None:
        now_ms = self._now_ms
        if self._logout_by_ms is not None and now_ms >= self._logout_by_ms:
            self._logged_out()
        if self.online:
            overdue_at_ms = self._connection.reply_overdue_at_ms(self._calls.awaited_since_ms)
            if overdue_at_ms is not None and now_ms >= overdue_at_ms:
                self._drop_connection("the node did not answer", silent=True)
        if self._draining and not len(self._calls):
            self._drop_connection("the node is about to stop")
        due = self._connection.due(now_ms)
        if due is Due.DIAL:
            self._dial()
        elif due is Due.PING:
            self._calls.send(wire.PingRequest(id=0), now_ms)
            self._connection.pinged(now_ms)
        elif due is Due.GIVE_UP:
            self._drop_connection("nothing was heard of the node", silent=True)
        if self._connection.phase is Phase.IDLE and self._authentication.needs_connection:
            self._dial()

    def _send_what_is_due(self) -> None:
        if self._may_send:
            self._send_pending()
        elif self._may_authenticate and self._now_ms >= self._authentication.retry_at_ms:
            self._authenticate()

    @property
    def _may_send(self) -> bool:
        return self.online and not self._draining and self._logout_by_ms is None

    @property
    def _may_authenticate(self) -> bool:
        phase = self._connection.phase
        return phase is Phase.ANONYMOUS and self._authentication.needs_connection

    # ------------------------------------------------------------------ the connection

    def _dial(self) -> None:
        self._tell(ConnectionChanged(ConnectionStatus.CONNECTING))
        self._tell(fx.Dial(self._connection.dial(self._now_ms)))

    def _connected(self, event: ev.Connected) -> None:
        connection = self._connection
        if connection.is_current(event.connection) and connection.phase is Phase.DIALING:
            self._calls.connection_opened()
            self._node_error = ""
            connection.enter(Phase.GREETING, self._now_ms)

    def _bytes_received(self, event: ev.BytesReceived) -> None:
        if not (self._connection.is_open and self._connection.is_current(event.connection)):
            return
        self._connection.heard(self._now_ms)
        try:
            for message in self._calls.messages(event.data):
                self._handle_message(message)
                if self._device.is_full:
                    self._leave_node(TOO_MUCH)
                if not self._connection.is_open:
                    return
        except BadMessage as error:
            self._drop_connection(str(error))

    def _drop_connection(self, reason: str, *, silent: bool = False) -> None:
        """Ends the connection, if there is one; the next one brings what is missing. `silent`:
        nothing is heard of the node."""
        if self._connection.exists:
            self._tell(fx.HangUp(self._connection.number))
            self._connection_lost(reason, silent=silent)

    def _connection_lost(self, reason: str, *, silent: bool = False) -> None:
        """The connection is gone, or the Dial failed."""
        for call in self._calls.connection_lost():
            if isinstance(call, AuthenticationRequest):
                self._authentication.reply_lost(call)
        self._draining = False
        self._outbox.connection_lost()
        self._requests.connection_lost()
        self._device.connection_lost()
        reason = self._node_error or reason
        if self._authentication.needs_connection and self._logout_by_ms is None:
            wait_ms = self._connection.lose(self._now_ms, silent=silent)
            self._tell(ConnectionChanged(ConnectionStatus.WAITING, reason, wait_ms))
            return
        self._connection.close(self._now_ms)
        self._tell(ConnectionChanged(ConnectionStatus.IDLE, reason))
        if self._logout_by_ms is not None:
            self._logged_out()

    # ------------------------------------------------------------------ what the node says

    def _handle_message(self, message: wire.ServerMessage) -> None:
        match message:
            case wire.MessagePush():
                self._message(message)
            case wire.FriendPush():
                self._friend_added(message)
            case wire.WelcomePush():
                self._welcomed(message)
            case wire.DrainingPush():
                self._draining = True
                self._connection.wait(message.retry_after_ms, self._now_ms)
            case wire.PingPush():
                if self._connection.phase >= Phase.ANONYMOUS:
                    self._calls.answer_ping()
            case wire.ErrorReply():
                self._handle_error(message)
            case _ if isinstance(message, DevicePush):
                self._device.handle_push(message)
            case _:
                self._handle_reply(message)

    def _handle_reply(self, reply: Reply) -> None:
        """What a reply means is decided by the request that it answers. A reply to no request is
        left out. One of another type than the request has ends the connection: what the request
        was for is settled on the next one."""
        call = self._calls.answered(reply.re, self._now_ms)
        match call, reply:
            case PendingSend(), wire.SentReply():
                self._sent(call, reply)
            case PendingRequest(), _ if isinstance(reply, QueuedReply):
                self._request_done(call, reply)
            case wire.MarkReadRequest(), wire.DoneReply():
                self._device.read_mark_accepted(call.conversation, call.seq)
            case wire.RegisterRequest(), wire.RegisteredReply():
                self._registered(reply)
            case wire.LoginRequest() | wire.ResumeRequest(), wire.LoggedInReply():
                self._login_accepted(call, reply)
            case wire.LogoutRequest(), wire.DoneReply():
                self._logged_out()
            case None | wire.PingRequest(), _:
                pass
            case _:
                self._drop_connection(WRONG_REPLY)

    def _handle_error(self, error: wire.ErrorReply) -> None:
        """What an error means is decided by the request that it answers, and then by its code."""
        if error.re is None:
            self._connection_refused(error)
            return
        call = self._calls.answered(error.re, self._now_ms)
        retry_at_ms = self._connection.retry_at_ms(error, self._now_ms)
        match call:
            case wire.RegisterRequest() | wire.LoginRequest() | wire.ResumeRequest():
                self._authentication_refused(call, error, retry_at_ms)
            case wire.LogoutRequest():
                self._logged_out()
            case PendingSend() | PendingRequest() | wire.MarkReadRequest() if (
                error.code is ErrorCode.NOT_LOGGED_IN
            ):
                if isinstance(call, PendingRequest):
                    self._requests.put_back(call)
                self._drop_connection("the node does not know who is there")
            case PendingSend():
                self._outbox.refused(call, error, retry_at_ms, self._now_ms)
            case PendingRequest():
                self._requests.refused(call, error, retry_at_ms, self.roster)
            case wire.MarkReadRequest():
                self._device.read_marks.refused(call.conversation, retry_at_ms)
            case _:
                pass  # a ping was refused, or nothing waits for it

    def _connection_refused(self, error: wire.ErrorReply) -> None:
        """An error that answers no request is about the connection. If the node closes it, the
        error says why; if not, the session gives it up."""
        self._node_error = error.message
        if error.retry_after_ms is not None:
            self._connection.wait(error.retry_after_ms, self._now_ms)
        node_closes = ERRORS[error.code].closes or error.code is ErrorCode.BUSY
        if not node_closes:
            self._drop_connection(error.message)

    # ------------------------------------------------------------------ authentication

    def _welcomed(self, push: wire.WelcomePush) -> None:
        if self._connection.phase is not Phase.GREETING:
            return
        if push.protocol != PROTOCOL:
            versions = f"The node speaks version {push.protocol} of the protocol, not {PROTOCOL}"
            self._leave_node(f"{versions}; install the client that goes with the node.")
            return
        self._connection.welcomed(push.limits, self._now_ms)
        self._authentication.retry_at_ms = self._now_ms
        self._tell(ConnectionChanged(ConnectionStatus.CONNECTED))

    def _authenticate(self) -> None:
        max_bytes = self._connection.login_line_bytes - RESUME_OVERHEAD_BYTES
        request = self._authentication.next_request(self.cursors.for_resume(max_bytes))
        self._calls.send(request, self._now_ms)
        self._connection.enter(Phase.AUTHENTICATING, self._now_ms)

    def _registered(self, reply: wire.RegisteredReply) -> None:
        self._connection.enter(Phase.ANONYMOUS, self._now_ms)
        self._authentication.registered(reply.user)

    def _login_accepted(self, request: AuthenticationRequest, reply: wire.LoggedInReply) -> None:
        reconnected = self.logged_in
        resumed = isinstance(request, wire.ResumeRequest)
        self._authentication.login_accepted(reply.token)
        self._connection.enter(Phase.ONLINE, self._now_ms)
        if self._device.logged_in(reply, reconnected=reconnected, resumed=resumed):
            self._resolve_names()
        else:
            self._drop_connection(ENTRY_MISSING)

    def _authentication_refused(
        self, request: AuthenticationRequest, error: wire.ErrorReply, retry_at_ms: int | None
    ) -> None:
        self._connection.enter(Phase.ANONYMOUS, self._now_ms)
        if not self._authentication.refused(request, error, retry_at_ms):
            self._authentication_failed(error.code, error.message)

    def _leave_node(self, message: str) -> None:
        """There is no use in another connection to this node."""
        self._tell(fx.HangUp(self._connection.number))
        self._connection.close(self._now_ms)
        self._authentication_failed(None, message)

    def _authentication_failed(self, code: ErrorCode | None, message: str) -> None:
        """The user has to log in or register anew; what was not settled fails."""
        failure = self._authentication.failure(code, message)
        self._forget_user()
        self._tell(failure)

    # ------------------------------------------------------------------ logout

    def _log_out(self) -> None:
        if not self.online:
            self._logged_out()
        elif self._logout_by_ms is None:
            self._send_read_marks(all_now=True)
            self._calls.send(wire.LogoutRequest(id=0), self._now_ms)
            self._logout_by_ms = self._now_ms + self._timing.logout_ms

    def _logged_out(self) -> None:
        self._logout_by_ms = None
        if self._connection.exists:
            self._tell(fx.HangUp(self._connection.number))
        self._connection.close(self._now_ms)
        self._forget_user()
        self._tell(notices.LoggedOut())

    def _forget_user(self) -> None:
        self._outbox.abandon()
        self._requests.abandon()
        self._calls.connection_lost()
        self._authentication.clear()
        self._draining = False
        self._device = Device(self._timing.read_mark_ms, self._tell)

    # ------------------------------------------------------------------ sends and requests

    def _accept_send(self, event: ev.SendChat | ev.SendGroupChat) -> None:
        if not self._accepts_requests:
            self._outbox.reject(event, ErrorCode.NOT_LOGGED_IN)
        else:
            self._outbox.accept(event, self.roster)

    def _accept_request(self, event: ev.SubmitRequest) -> None:
        if self._accepts_requests:
            self._requests.accept(event)
        else:
            self._requests.reject(event, ErrorCode.NOT_LOGGED_IN)

    @property
    def _accepts_requests(self) -> bool:
        return self.logged_in and self._logout_by_ms is None

    def _send_pending(self) -> None:
        """Sends the first queued request, and the sends and read marks that may go now."""
        pending = self._requests.take(self._now_ms)
        if pending is not None:
            self._calls.send(pending.request, self._now_ms, pending)
        for item in self._outbox.take(self._now_ms, self._connection.max_in_flight):
            self._calls.send(item.request(), self._now_ms, item)
        self._send_read_marks()

    def _send_read_marks(self, *, all_now: bool = False) -> None:
        for conversation, seq in self._device.read_marks.take(self._now_ms, all_now=all_now):
            request = wire.MarkReadRequest(id=0, conversation=conversation, seq=seq)
            self._calls.send(request, self._now_ms)

    def _sent(self, item: PendingSend, reply: wire.SentReply) -> None:
        continues = self._device.sent(reply, item.text, item.key)
        self._outbox.stored(item, reply.conversation, reply.seq)
        if not continues:
            self._drop_connection(ENTRY_MISSING)

    def _request_done(self, pending: PendingRequest, reply: QueuedReply) -> None:
        if isinstance(reply, wire.SnapshotReply):
            self._device.snapshot(reply)
            self._resolve_names()
        elif isinstance(reply, wire.GroupCreatedReply | wire.JoinedReply):
            self._device.group_replied(reply.group)
        self._requests.done(pending, reply)

    # ------------------------------------------------------------------ pushes

    def _message(self, push: wire.MessagePush) -> None:
        if not self._device.message(push):
            self._drop_connection(ENTRY_MISSING)
        elif push.key is not None and self._device.is_own(push.from_):
            self._outbox.stored_key(push.key, push.conversation, push.seq)

    def _friend_added(self, push: wire.FriendPush) -> None:
        continues = self._device.friend_added(push)
        self._outbox.resolve(push.friend.name, push.friend.id)
        if not continues:
            self._drop_connection(ENTRY_MISSING)

    def _resolve_names(self) -> None:
        """Sends to a name join the queue of the friend's number."""
        for friend in self.roster.friends.values():
            self._outbox.resolve(friend.name, friend.id)
