"""A node: events in, effects out.

Theory of operation
-------------------

`handle(event, now_ms)` is the only way in. It looks the event's handler up by type, lets it change
the tables, lets every session that may go on take its next requests, and returns the effects. It
never blocks and never calls back; what its effects bring about is another event. Time comes with
the event, numbers and secrets come with outcomes, so the same events give the same effects, byte
for byte.

The parts, and what each is the only one to do:

    Context         the tables, the tickets, the effects of the event in hand
    Subscriptions   what the node is subscribed to on the bus
    DeviceStreams   which connection gets which entries, and as what
    CatchUp         entries from the log, for connections that are behind
    FanOut          new entries, for connections that are live
    FlowControl     connections whose peers do not read
    Presence        who is online
    RosterSync      rosters of the users here, and their differences
    Receipts        read marks
    Admission       how many connections there are, by address and by user
    Timers          time-outs of sessions
    ReplyPings      pings to peers that wait for a reply
    AntiEntropy     asks the store for heads and versions, in case the bus lost something
    Calls           requests under way, and what each waits for
    LargeReplies    which reply with many rows is made next
    Scheduler       whose request is taken next
    Authentication, Messaging, Friends, Groups, History, Account     the requests themselves

Invariants, after every event: a session in CLOSING is attached to nothing; a session with nothing
under way has nothing waiting that its state lets it take; every continuation in the table stands
for one operation that was asked for and not answered.
"""

from collections.abc import Callable, Sized
from typing import Any, Final, TypeVar

from chat.core.delivery.catch_up import CatchUp
from chat.core.delivery.device_streams import DeviceStreams
from chat.core.delivery.fan_out import FanOut
from chat.core.delivery.flow_control import FlowControl
from chat.core.delivery.subscriptions import Subscriptions
from chat.core.ports.bus_messages import (
    EntryBusMessage,
    PresenceBusMessage,
    ReceiptBusMessage,
    RosterBusMessage,
)
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import (
    Answer,
    Answers,
    AnyEvent,
    BusDown,
    BusMessageReceived,
    BusUp,
    BytesReceived,
    ConnectionLost,
    ConnectionOpened,
    Drain,
    EndOfInput,
    Event,
    Subscribed,
    Tick,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.requests.account import Account
from chat.core.requests.authentication import Authentication
from chat.core.requests.calls import Calls
from chat.core.requests.friends import Friends
from chat.core.requests.groups import Groups
from chat.core.requests.history import History
from chat.core.requests.large_replies import LargeReplies
from chat.core.requests.messaging import Messaging
from chat.core.requests.scheduler import Scheduler
from chat.core.roster.presence import Presence
from chat.core.roster.receipts import Receipts
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.config import NodeConfig
from chat.core.state.context import Context
from chat.core.state.operation_queues import UNDER_WAY_LIMITS, UnderWayLimits
from chat.core.state.session import Session
from chat.core.upkeep.admission import Admission, address_of
from chat.core.upkeep.anti_entropy import AntiEntropy
from chat.core.upkeep.reply_pings import ReplyPings
from chat.core.upkeep.timers import Timers
from chat.protocol.messages import DrainingPush, Limits, WelcomePush
from chat.protocol.rules import PROTOCOL, Input, Verdict

_ACCEPT: Final = Verdict.ACCEPT
EventT = TypeVar("EventT", bound=Event)


class Node:
    """One chat node, without its sockets, its store and its bus.

    The caller feeds the events to `handle` one by one, and carries out the effects of each in their
    order before the next. Every Query is answered under its ticket. A Tick is fed at
    `next_deadline_ms`, which may change with each event. Connections have numbers of the caller's
    choosing, none of them used twice, and ConnectionLost is the last event of each.
    """

    def __init__(
        self, config: NodeConfig, under_way_limits: UnderWayLimits = UNDER_WAY_LIMITS
    ) -> None:
        self._context = context = Context(config, under_way_limits)
        self._subscriptions = subscriptions = Subscriptions(context)
        self._streams = streams = DeviceStreams(context, subscriptions)
        self._catch_up = catch_up = CatchUp(context, subscriptions, streams)
        self._fan_out = fan_out = FanOut(context, streams, catch_up)
        self._flow_control = FlowControl(context, catch_up)
        self._presence = presence = Presence(context, subscriptions)
        self._roster_sync = roster_sync = RosterSync(context, streams, catch_up, presence)
        self._receipts = receipts = Receipts(context)
        self._admission = admission = Admission(context)
        self._timers = timers = Timers(context)
        self._reply_pings = ReplyPings(context)
        self._anti_entropy = AntiEntropy(
            context, subscriptions, streams, catch_up, roster_sync, presence
        )
        self._large_replies = large_replies = LargeReplies(context)
        calls = Calls(context, subscriptions, large_replies)
        self._authentication = Authentication(
            context, calls, subscriptions, roster_sync, presence, admission
        )
        messaging = Messaging(context, calls, fan_out, catch_up)
        Friends(context, calls, roster_sync)
        Groups(context, calls, fan_out, roster_sync)
        History(calls, receipts, large_replies)
        Account(context, calls, roster_sync)
        self._scheduler = Scheduler(context, timers, calls, messaging)
        self._draining: Drain | None = None
        self._handlers: dict[type[Event], Callable[[Any], None]] = {}
        self._register_handlers()

    def _register_handlers(self) -> None:
        self._on(ConnectionOpened, self._opened)
        self._on(BytesReceived, self._received)
        self._on(EndOfInput, self._scheduler.end_of_input)
        self._on(ConnectionLost, self._lost)
        self._on(WriteBufferFull, self._buffer_full)
        self._on(WriteBufferDrained, self._buffer_drained)
        self._on(Answer, self._answer)
        self._on(Answers, self._answers)
        self._on(BusMessageReceived, self._bus_message)
        self._on(Subscribed, self._subscribed)
        self._on(BusUp, self._bus_up)
        self._on(BusDown, self._bus_down)
        self._on(Tick, self._tick)
        self._on(Drain, self._drain)

    def _on(self, event: type[EventT], handler: Callable[[EventT], None]) -> None:
        self._handlers[event] = handler

    # ------------------------------------------------------------------ the way in

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        """The effects of an event. `now_ms` (since 1970) never goes back.

        An exception is an internal error, whatever the event was; see `take_internal_errors`, too.
        """
        context = self._context
        if now_ms > context.now_ms:
            context.now_ms = now_ms
        context.effects = []
        self._scheduler.begin()
        self._handlers[type(event)](event)
        while context.runnable or context.closed:
            self._take_out_closed()
            if context.runnable:
                connection, _ = context.runnable.popitem()
                session = context.sessions.get(connection)
                if session is not None:
                    self._scheduler.go_on(session)
        self._catch_up.compare_heads()
        self._scheduler.arm()
        self._anti_entropy.arm()
        return context.effects

    def take_internal_errors(self) -> list[Exception]:
        """To be called after each `handle`: exceptions that came from one of many answers, sessions
        or deadlines that the event was about. All the others were handled."""
        if not self._context.internal_errors:
            return []
        errors, self._context.internal_errors = self._context.internal_errors, []
        return errors

    def next_deadline_ms(self) -> int | None:
        """When a Tick is due at the latest; None if nothing is."""
        return self._context.deadlines.next_ms()

    def session(self, connection: int) -> Session | None:
        """The session of a connection, to be read and not changed; None if there is none."""
        return self._context.sessions.get(connection)

    def resource_counts(self) -> dict[str, int]:
        """How many the node keeps, by kind of thing; kinds of which there are none are left out."""
        kept: dict[str, Sized] = {
            "sessions": self._context.sessions,
            "users": self._context.users,
            "rosters awaited": self._roster_sync,
            "conversations": self._streams.conversations,
            "channels": self._subscriptions,
            "deferred connections": self._scheduler,
            "operations under way": self._context.continuations,
            "operations that wait": self._context.queues,
            "large replies that wait": self._large_replies,
            "not logged in": self._admission,
        }
        return {what: len(those) for what, those in kept.items() if len(those)}

    # ------------------------------------------------------------------ connections

    def _opened(self, event: ConnectionOpened) -> None:
        context = self._context
        session = Session(event.connection, address_of(event.address), context.now_ms)
        context.sessions[event.connection] = session
        context.send(event.connection, self._welcome())
        self._admission.opened(session)
        if self._draining is not None:
            self._drain_session(session, self._draining)
        self._timers.arm(session)

    def _welcome(self) -> WelcomePush:
        config = self._context.config
        limits = Limits(
            login_line_bytes=config.login_line_bytes,
            line_bytes=config.line_bytes,
            in_flight=config.in_flight,
            sends_per_second=config.sends_per_second,
            send_burst=config.send_burst,
            cost_per_second=config.cost_per_second,
            cost_burst=config.cost_burst,
            lines_per_second=config.lines_per_second,
            line_burst=config.line_burst,
            ping_ms=config.ping_ms,
            dead_ms=config.dead_ms,
            reply_ping_ms=config.reply_ping_ms,
        )
        now_ms = self._context.now_ms
        return WelcomePush(protocol=PROTOCOL, node=config.name, now=now_ms, limits=limits)

    def _lost(self, event: ConnectionLost) -> None:
        session = self._context.sessions.pop(event.connection, None)
        if session is not None:
            session.step(Input.CONNECTION_LOST, self._context.now_ms)
            self._take_out(session)
            self._admission.lost(session)

    def _take_out_closed(self) -> None:
        context = self._context
        while context.closed:
            self._take_out(context.closed.pop())

    def _take_out(self, session: Session) -> None:
        """Removes the session from all parts; only the table of sessions still has it."""
        self._streams.forget_replies(session)
        self._scheduler.forget(session)
        self._roster_sync.leave(session)
        self._authentication.forget(session)
        self._admission.ended(session)
        self._context.withdraw(session)

    def _received(self, event: BytesReceived) -> None:
        self._scheduler.received(event)
        self._reply_pings.look(event.connection)

    def _buffer_full(self, event: WriteBufferFull) -> None:
        session = self._context.sessions.get(event.connection)
        if session is not None and self._flow_control.buffer_full(session):
            self._scheduler.pace(session)
            self._timers.arm(session)

    def _buffer_drained(self, event: WriteBufferDrained) -> None:
        session = self._context.sessions.get(event.connection)
        if session is not None and self._flow_control.buffer_drained(session, event.buffered_bytes):
            self._context.runnable[session.connection] = None

    # ------------------------------------------------------------------ answers and the bus

    def _answer(self, event: Answer) -> None:
        self._context.settle(event.ticket, event.outcome)

    def _answers(self, event: Answers) -> None:
        for ticket, outcome in event.answers:
            try:
                self._context.settle(ticket, outcome)
            except Exception as error:
                self._context.internal_errors.append(error)
            if self._context.closed:
                self._take_out_closed()

    def _subscribed(self, event: Subscribed) -> None:
        self._subscriptions.confirmed(event.ticket)

    def _bus_up(self, event: BusUp) -> None:
        self._subscriptions.up = True
        self._presence.announce_all()
        self._anti_entropy.compare_all()

    def _bus_down(self, event: BusDown) -> None:
        self._subscriptions.bus_down()

    def _bus_message(self, event: BusMessageReceived) -> None:
        message = event.message
        if isinstance(message, EntryBusMessage):
            self._fan_out.entry(message.entry)
            return
        kind, _, number = event.channel.partition(":")
        if isinstance(message, RosterBusMessage):
            self._roster_sync.heard_change(message.change)
        elif kind == "u" and isinstance(message, PresenceBusMessage):
            self._presence.heard(int(number), message.user, message.state)
        elif kind == "u" and isinstance(message, ReceiptBusMessage):
            self._receipts.heard(int(number), message)

    # ------------------------------------------------------------------ time

    def _tick(self, event: Tick) -> None:
        context = self._context
        while (due := context.deadlines.pop_due(context.now_ms)) is not None:
            try:
                due()
            except Exception as error:
                context.internal_errors.append(error)
            self._take_out_closed()

    # ------------------------------------------------------------------ the end

    def _drain(self, event: Drain) -> None:
        self._draining = event
        for session in list(self._context.sessions.values()):
            self._drain_session(session, event)

    def _drain_session(self, session: Session, event: Drain) -> None:
        if session.step(Input.DRAIN, self._context.now_ms).verdict is _ACCEPT:
            push = DrainingPush(retry_after_ms=event.retry_after_ms)
            self._context.send(session.connection, push)
            self._scheduler.drain(session)
