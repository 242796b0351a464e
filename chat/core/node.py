"""A node: what happens to it comes in as events, what it does goes out as effects.

Theory of operation
-------------------

`handle(event, now_ms)` is the only way in. It looks the event's handler up by type, lets it change
the tables, lets every session whose turn it is take its next requests, and returns what is to be
done. It never blocks and never calls back; what its effects bring about is another event. Time
comes with the event, numbers and secrets come with outcomes, so the same events give the same
effects, byte for byte.

The parts and what each is the only one to do:

    Context     the tables, the tickets, the effects of the event in hand
    Authentication    register, login, resume
    Scheduler      requests as they come in: which is taken now, which has to wait
    Requests    what those who are logged in may ask for
    RosterSync      rosters of the users here, and news of them
    FanOut    entries to connections, by conversation and cursor
    Presence    who is online
    Subscriptions    what the node listens to on the bus
    Timers       what is due for a session when; connections that are not logged in, by address
    AntiEntropy       asking the store for heads and versions, in case the bus lost something

Invariants, after every event: nothing in CLOSING is attached to anything; a session with nothing
under way has nothing waiting that its state lets it take; every ticket in the table stands for
one operation that was asked for and not answered.
"""

from collections.abc import Callable, Sized
from typing import Final

from chat.core.delivery.fan_out import FanOut
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
    Event,
    Subscribed,
    Tick,
    WriteBufferDrained,
    WriteBufferFull,
)
from chat.core.ports.operations import AnyOutcome
from chat.core.requests.authentication import Authentication
from chat.core.requests.requests import Requests
from chat.core.requests.scheduler import Scheduler
from chat.core.roster.presence import Presence
from chat.core.roster.roster_sync import RosterSync
from chat.core.state.config import NodeConfig
from chat.core.state.context import Context
from chat.core.state.pending import (
    AppendAsked,
    EntrancePresence,
    EntranceRoster,
    FriendshipAsked,
    GroupAsked,
    GroupConfirmed,
    HeadsCompared,
    HistoryAsked,
    LastSeen,
    LoginCheck,
    LoginFind,
    LoginSubscribed,
    LogoutAsked,
    LogPage,
    MembersAsked,
    MembersPresence,
    Pending,
    ProfileAsked,
    ReadAsked,
    RegisterHash,
    RegisterStore,
    ResumeFind,
    ResumeSubscribed,
    RosterRefreshed,
    SnapshotAsked,
    StatesCompared,
)
from chat.core.state.session import Session
from chat.core.upkeep.anti_entropy import AntiEntropy
from chat.core.upkeep.timers import Timers
from chat.protocol.messages import DrainingPush, Limits, WelcomePush
from chat.protocol.rules import PROTOCOL, Input, Verdict

_ACCEPT: Final = Verdict.ACCEPT


class Node:
    """One chat node, without its sockets, its store and its bus."""

    def __init__(self, config: NodeConfig) -> None:
        self._context = context = Context(config)
        self._channels = Subscriptions(context)
        self._delivery = FanOut(context, self._channels)
        self._presence = Presence(context, self._channels)
        self._people = RosterSync(context, self._delivery, self._presence)
        self._entrance = Authentication(context, self._channels, self._people, self._presence)
        self._requests = Requests(context, self._delivery, self._people, self._entrance)
        self._sweep = AntiEntropy(
            context, self._channels, self._delivery, self._people, self._presence
        )
        self._watch = Timers(context)
        self._intake = Scheduler(context, self._watch, self._entrance, self._requests)
        self._draining: Drain | None = None
        self._handlers = self._event_handlers()
        self._outcomes = self._outcome_handlers()
        self._confirmed: dict[type[Pending], Callable[..., None]] = {
            LoginSubscribed: self._entrance.login_subscribed,
            ResumeSubscribed: self._entrance.resume_subscribed,
            GroupConfirmed: self._delivery.group_confirmed,
        }

    # ------------------------------------------------------------------ the way in

    def handle(self, event: AnyEvent, now_ms: int) -> list[AnyEffect]:
        """What is to be done about an event. `now_ms` (since 1970) never goes back.

        An exception is a bug in the core, whatever the event was. See `take_internal_errors`, too.
        """
        context = self._context
        if now_ms > context.now_ms:
            context.now_ms = now_ms
        context.effects = []
        self._intake.begin()
        self._handlers[type(event)](event)
        while context.pump or context.closed:
            self._take_out_closed()
            if context.pump:
                connection, _ = context.pump.popitem()
                session = context.sessions.get(connection)
                if session is not None:
                    self._intake.go_on(session)
        if self._delivery.compare:
            self._delivery.compare_heads()
        self._intake.arm()
        if not self._sweep.armed:
            self._sweep.arm()
        return context.effects

    def take_internal_errors(self) -> list[Exception]:
        """To be asked after each `handle`: exceptions that came from one of many answers, sessions
        or deadlines that the event was about. They took nothing from the others."""
        if not self._context.bugs:
            return []
        bugs, self._context.bugs = self._context.bugs, []
        return bugs

    def next_deadline_ms(self) -> int | None:
        """When a Tick is due at the latest; None if nothing is."""
        return self._context.deadlines.next_ms()

    def session(self, connection: int) -> Session | None:
        """The session of a connection, for those who look on."""
        return self._context.sessions.get(connection)

    def resource_counts(self) -> dict[str, int]:
        """How many there are of each thing the node keeps; what there is none of is left out."""
        kept: dict[str, Sized] = {
            "sessions": self._context.sessions,
            "users": self._context.users,
            "users on their way in": self._people,
            "conversations": self._delivery.conversations,
            "channels": self._channels,
            "connections that rest": self._intake,
            "operations under way": self._context.pending,
            "not logged in": self._watch,
        }
        return {what: len(those) for what, those in kept.items() if len(those)}

    # ------------------------------------------------------------------ connections

    def _opened(self, event: ConnectionOpened) -> None:
        context = self._context
        session = Session(event.connection, event.address, context.now_ms)
        context.sessions[event.connection] = session
        crowded = self._watch.count_in(session)
        context.send(event.connection, self._welcome())
        if self._draining is not None:
            self._drain_session(session, self._draining)
        elif crowded:
            context.close(session, Input.CROWDED)
        else:
            self._watch.arm(session)

    def _welcome(self) -> WelcomePush:
        config = self._context.config
        limits = Limits(
            login_line_bytes=config.login_line_bytes,
            line_bytes=config.line_bytes,
            in_flight=config.in_flight,
            sends_per_second=config.sends_per_second,
            send_burst=config.send_burst,
            ping_ms=config.ping_ms,
            dead_ms=config.dead_ms,
        )
        now_ms = self._context.now_ms
        return WelcomePush(protocol=PROTOCOL, node=config.name, now=now_ms, limits=limits)

    def _lost(self, event: ConnectionLost) -> None:
        session = self._context.sessions.pop(event.connection, None)
        if session is not None:
            session.step(Input.CONNECTION_LOST, self._context.now_ms)
            self._take_out(session)

    def _take_out_closed(self) -> None:
        context = self._context
        while context.closed:
            self._take_out(context.closed.pop())

    def _take_out(self, session: Session) -> None:
        """Nothing is left of the session anywhere but in the table of sessions."""
        session.acks.clear()
        self._intake.forget(session)
        self._people.leave(session)
        self._entrance.forget(session)
        self._watch.count_out(session)
        session.waiting = None

    # ------------------------------------------------------------------ buffers

    def _buffer_full(self, event: WriteBufferFull) -> None:
        session = self._context.sessions.get(event.connection)
        if session is None:
            return
        if session.step(Input.WRITE_FULL, self._context.now_ms).verdict is _ACCEPT:
            session.full = True
            session.progress_at_ms = self._context.now_ms
            self._delivery.hold(session)
            self._intake.pace(session)
            self._watch.arm(session)

    def _buffer_drained(self, event: WriteBufferDrained) -> None:
        session = self._context.sessions.get(event.connection)
        if session is None:
            return
        if session.step(Input.WRITE_DRAINED, self._context.now_ms).verdict is _ACCEPT:
            session.progress_at_ms = self._context.now_ms
            if (
                session.full
                and event.buffered_bytes <= self._context.config.write_buffer_bytes // 4
            ):
                session.full = False
                self._delivery.release(session)
                self._context.pump[session.connection] = None

    # ------------------------------------------------------------------ answers and the bus

    def _answer(self, event: Answer) -> None:
        self._settle(event.ticket, event.outcome)

    def _answers(self, event: Answers) -> None:
        for ticket, outcome in event.answers:
            try:
                self._settle(ticket, outcome)
            except Exception as bug:
                self._context.bugs.append(bug)
            if self._context.closed:
                self._take_out_closed()

    def _settle(self, ticket: int, outcome: AnyOutcome) -> None:
        record = self._context.pending.pop(ticket, None)
        if record is not None:
            self._outcomes[type(record)](record, outcome)

    def _resume_waiting(self, waiting: list[Pending]) -> None:
        for record in waiting:
            self._confirmed[type(record)](record)

    def _subscribed(self, event: Subscribed) -> None:
        self._resume_waiting(self._channels.confirm(event.ticket))

    def _bus_up(self, event: BusUp) -> None:
        self._channels.up = True
        self._presence.announce_all()
        self._sweep.compare_all()

    def _bus_down(self, event: BusDown) -> None:
        self._resume_waiting(self._channels.bus_down())

    def _envelope(self, event: BusMessageReceived) -> None:
        envelope = event.envelope
        if isinstance(envelope, EntryBusMessage):
            self._delivery.entry(envelope.entry)
            return
        kind, _, number = event.channel.partition(":")
        if isinstance(envelope, RosterBusMessage):
            self._people.news(envelope.user, envelope.version)
        elif kind == "u" and isinstance(envelope, PresenceBusMessage):
            self._presence.heard(int(number), envelope.user, envelope.state)
        elif kind == "u" and isinstance(envelope, ReceiptBusMessage):
            self._people.receipt(int(number), envelope)

    # ------------------------------------------------------------------ time

    def _tick(self, event: Tick) -> None:
        context = self._context
        while (due := context.deadlines.pop_due(context.now_ms)) is not None:
            try:
                self._do_what_is_due(*due)
            except Exception as bug:
                context.bugs.append(bug)

    def _do_what_is_due(self, kind: str, number: int) -> None:
        if kind == "look":
            self._watch.look(number)
        elif kind == "flap":
            self._presence.flap_over(number)
        elif kind == "confirm":
            self._resume_waiting(self._channels.give_up(number))
        elif kind == "turn":
            self._intake.run()
        else:
            self._sweep.run()

    # ------------------------------------------------------------------ the end

    def _drain(self, event: Drain) -> None:
        self._draining = event
        for session in list(self._context.sessions.values()):
            self._drain_session(session, event)

    def _drain_session(self, session: Session, event: Drain) -> None:
        if session.step(Input.DRAIN, self._context.now_ms).verdict is _ACCEPT:
            push = DrainingPush(retry_after_ms=event.retry_after_ms)
            self._context.send(session.connection, push)
            session.draining = True
            self._context.pump[session.connection] = None

    # ------------------------------------------------------------------ dispatch

    def _event_handlers(self) -> dict[type[Event], Callable[..., None]]:
        return {
            ConnectionOpened: self._opened,
            BytesReceived: self._intake.received,
            ConnectionLost: self._lost,
            WriteBufferFull: self._buffer_full,
            WriteBufferDrained: self._buffer_drained,
            Answer: self._answer,
            Answers: self._answers,
            BusMessageReceived: self._envelope,
            Subscribed: self._subscribed,
            BusUp: self._bus_up,
            BusDown: self._bus_down,
            Tick: self._tick,
            Drain: self._drain,
        }

    def _outcome_handlers(self) -> dict[type[Pending], Callable[..., None]]:
        entrance, requests = self._entrance, self._requests
        return {
            RegisterHash: entrance.register_hashed,
            RegisterStore: entrance.register_stored,
            LoginFind: entrance.login_found,
            LoginCheck: entrance.login_checked,
            ResumeFind: entrance.resume_found,
            EntranceRoster: entrance.roster_read,
            EntrancePresence: entrance.presence_found,
            AppendAsked: requests.appended,
            LogoutAsked: requests.logged_out,
            ProfileAsked: requests.profile_read,
            SnapshotAsked: requests.snapshot_read,
            FriendshipAsked: requests.friendship_changed,
            GroupAsked: requests.group_changed,
            MembersAsked: requests.members_read,
            MembersPresence: requests.members_found,
            HistoryAsked: requests.history_read,
            ReadAsked: requests.read_marked,
            LogPage: self._delivery.page_read,
            HeadsCompared: self._sweep.compared,
            RosterRefreshed: self._people.refreshed,
            StatesCompared: self._presence.compared,
            LastSeen: self._presence.last_seen,
        }
