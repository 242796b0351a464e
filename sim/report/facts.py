"""Facts: behaviours that some run must show, or the checks of them say little.

Each fact is told from outside the node: from its events and effects, from what its public state
says, from the effects of devices, and from the counts of the simulated store. For each node that
runs, a `_NodeView` keeps what has to be known of earlier events to understand the present one; it
is dropped with the node.

What the append cache of a node does cannot be told from outside: two facts about it are counted by
wrapping its methods (see `watching`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.core.node import Node
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.bus_messages import EntryBusMessage
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import EntryKind
from chat.protocol.rules import State
from chat.storage.append.cache import AppendCache
from sim.cluster.bus import BusPort
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.injection_points import Phase
from sim.cluster.trace import view_of

FACTS: Final = {
    "anti_entropy": "a gap was healed by anti-entropy",
    "gap": "a lost bus message was noticed by the next one",
    "repeat": "a bus message came again, or late, and was ignored",
    "batch_rerun": "a batch was run again after a lost reply",
    "cache_used": "a batch was verified against the append cache",
    "cache_stale": "the append cache was stale, and the batch fell back",
    "deferred": "a logged-in session was deferred, as its requests exceeded the quantum",
    "slow_reader": "a slow reader went behind and came back",
    "page_retried": "a page of the log could not be read and was asked for again",
    "sent_in_place": "a `sent` waited for its place in the stream",
    "stopped": "a stream stopped before an entry that its sender had no answer for yet",
    "resent": "a send was repeated under its key and got the first seq",
    "moved": "a device was resumed on another node",
    "drained": "a node was drained",
    "rejoined": "a user left a group and joined it again",
    "late_commit": "a commit came after its caller had given up",
    "rate_limited": "a send over the rate limit was kept and sent later",
    "refused": "a send was refused for good and given back",
    "limit_reached": "one more than a limit was asked for and refused",
    "flap": "a short absence was not told to friends",
    "lease": "a presence lease ran out",
    "commit_unknown": "a commit was unknown, and the connection that asked for it was closed",
    "cost_refused": "a request over its user's budget was refused",
    "sends_refused": "a send over its user's budget was refused",
    "rows_charged": "a reply with many rows was charged for them",
    "logins_refused": "a login over a budget was refused",
    "registrations_refused": "a registration over its address's budget was refused",
    "failed_resumes_refused": "a resume was refused, as too many of its address had failed",
    "password_waited": "a password waited for its address's budget",
    "paced": "a connection that sent lines too fast was paced",
    "append_waited": "a send waited for its turn",
    "write_waited": "another write waited for its turn",
    "read_waited": "a read waited for its turn",
    "history_waited": "a page of history waited for its turn",
    "account_waited": "the account of a login waited for its turn",
    "not_admitted": "a new connection was refused, as there was no room for it",
    "made_room": "a connection that was not logged in made room for a new one",
    "user_replaced": "a silent connection of a user was replaced by a newer one",
    "most_replaced": "a connection of the user with the most was replaced, as the node was full",
    "no_place": "a login was refused, as the node had no place for it",
    "device_replaced": "a silent connection of a device was replaced by a newer one",
}
"""By name: the fact as a sentence. What is told of limits is counted by their checkers
(sim/checkers/limits), which know it anyway."""

_SENT = b'{"type":"sent"'
_LOGGED_IN = b'{"type":"logged_in"'


class _Sent(msgspec.Struct):
    conversation: int
    seq: int


_decode_sent = msgspec.json.Decoder(_Sent).decode


class _NodeView:
    """What has to be known of a node's earlier events."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.queries: dict[int, tuple[op.AnyOperation, AnyEvent]] = {}
        """By ticket: the operation that is not answered yet, and the event that led to it."""
        self.heads: dict[int, int] = {}
        """By conversation: the highest seq that the node has heard of."""
        self.unread_pages: set[tuple[int, int]] = set()
        """Conversation and cursor of pages that could not be read."""
        self.appends: dict[str, int] = {}
        """By key of an append that is not answered yet: the connection that sent it."""
        self.due_replies: set[tuple[int, int, int]] = set()
        """Connection, conversation and seq of `sent` replies that wait for their place."""
        self.users: dict[int, int] = {}
        """By connection: its user, once logged in."""
        self.deferred = 0
        """How many connections the scheduler had deferred after the last event."""
        self.absent: set[int] = set()
        """Users who have left the node, and whom it has not announced as offline yet."""


class Facts:
    """Counts the facts of one run. An observer of its cluster."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(FACTS, 0)
        self._views: dict[str, _NodeView] = {}
        self._hosts: dict[str, str] = {}
        self._rate_limited: set[tuple[str, int]] = set()
        self._left: set[tuple[int, int]] = set()
        self._expired: dict[BusPort, int] = {}

    def count(self, name: str, times: int = 1) -> None:
        self.counts[name] += times

    # ------------------------------------------------------------------ as an observer

    def attached(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        if host.node is None:
            return
        view = self._views.get(host.name)
        if view is None or view.node is not host.node:
            view = self._views[host.name] = _NodeView(host.node)
        if isinstance(event, ev.Answer):
            self._answered(view, ((event.ticket, event.outcome),), effects)
        elif isinstance(event, ev.Answers):
            self._answered(view, event.answers, effects)
        elif isinstance(event, ev.BusMessageReceived):
            if isinstance(event.message, EntryBusMessage):
                self._bus_entry(view, event.message.entry, effects)
        elif isinstance(event, ev.WriteBufferDrained):
            if any(True for _ in _asked(effects, op.ReadLog)):
                self.count("slow_reader")
        elif isinstance(event, ev.BytesReceived):
            self._bytes_received(view, event.connection)
        elif isinstance(event, ev.Tick):
            view.deferred = _deferred(view.node)
        elif isinstance(event, ev.ConnectionLost):
            self._connection_lost(view, event.connection)
        elif isinstance(event, ev.Drain):
            self.count("drained")
        for effect in effects:
            if isinstance(effect, fx.Query):
                self._query(view, effect, event)
            elif isinstance(effect, fx.Send):
                self._sent(view, effect)
            elif isinstance(effect, fx.Announce):
                view.absent -= set(effect.offline)

    def device_effect(self, device: SimDevice, effect: ClientEffect) -> None:
        if isinstance(effect, notices.SendDelayed) and effect.code is ErrorCode.RATE_LIMITED:
            self._rate_limited.add((device.name, effect.ref))
        elif (
            isinstance(effect, notices.SendSettled)
            and (device.name, effect.ref) in self._rate_limited
        ):
            self._rate_limited.discard((device.name, effect.ref))
            self.count("rate_limited")
        elif isinstance(effect, notices.SendFailed) and effect.code is not None:
            self.count("refused")
        elif isinstance(effect, notices.LoggedIn):
            self._logged_in(device, resumed=effect.reconnected)
        elif isinstance(effect, notices.EntryApplied):
            member = (effect.conversation, effect.entry.from_.id)
            if effect.entry.kind is EntryKind.LEFT:
                self._left.add(member)
            elif effect.entry.kind is EntryKind.JOINED and member in self._left:
                self._left.discard(member)
                self.count("rejoined")

    def run_ended(self) -> None:
        """Takes the counts that the simulated store keeps itself."""
        faults = self._cluster.store.faults
        self.count("batch_rerun", faults.phases.get(("lost_reply", Phase.COMMITTED), 0))
        self.count("late_commit", faults.counts.get("late_commit", 0))

    # ------------------------------------------------------------------ devices

    def _logged_in(self, device: SimDevice, *, resumed: bool) -> None:
        for host in self._cluster.hosts:
            if device.connection in host.connections.values():
                if resumed and self._hosts.get(device.name, host.name) != host.name:
                    self.count("moved")
                self._hosts[device.name] = host.name

    def _connection_lost(self, view: _NodeView, connection: int) -> None:
        user = view.users.pop(connection, None)
        if user is not None and user not in view.users.values():
            view.absent.add(user)

    def _bytes_received(self, view: _NodeView, connection: int) -> None:
        before = view.deferred
        view.deferred = _deferred(view.node)
        session = view.node.session(connection)
        if view.deferred > before and session is not None and session.state is State.READY:
            self.count("deferred")

    # ------------------------------------------------------------------ answers

    def _answered(
        self,
        view: _NodeView,
        answers: Iterable[tuple[int, op.AnyOutcome]],
        effects: list[AnyEffect],
    ) -> None:
        closes = any(isinstance(effect, fx.Close) for effect in effects)
        for ticket, outcome in answers:
            operation, cause = view.queries.pop(ticket, (None, None))
            if isinstance(outcome, op.CommitUnknown) and closes:
                self.count("commit_unknown")
            if isinstance(outcome, op.Refused) and outcome.reached is not None:
                self.count("limit_reached")
            if isinstance(operation, op.Append):
                self._append_answered(view, operation, outcome, effects)
            elif isinstance(operation, op.ReadLog):
                self._page_read(view, operation, outcome)
            elif isinstance(outcome, op.HeadsRead) and isinstance(cause, ev.Tick):
                asked = {read.conversation: read.after for read in _asked(effects, op.ReadLog)}
                for conversation, head in outcome.conversations.items():
                    if asked.get(conversation, head) < head:
                        self.count("anti_entropy")
            elif isinstance(operation, op.FindPresence):
                self._leases_read()

    def _append_answered(
        self, view: _NodeView, asked: op.Append, outcome: op.AnyOutcome, effects: list[AnyEffect]
    ) -> None:
        connection = view.appends.pop(asked.key, None)
        if not isinstance(outcome, op.Appended):
            return
        view.heads[outcome.conversation] = max(outcome.seq, view.heads.get(outcome.conversation, 0))
        if outcome.repeated:
            self.count("resent")
        if connection is None or view.node.session(connection) is None:
            return
        place = outcome.conversation, outcome.seq
        sends = [effect for effect in effects if isinstance(effect, fx.Send)]
        if place not in [sent for send in sends for sent in _sent_replies(send.data)]:
            view.due_replies.add((connection, *place))

    def _page_read(self, view: _NodeView, asked: op.ReadLog, outcome: op.AnyOutcome) -> None:
        if not isinstance(outcome, op.LogRead):
            view.unread_pages.add((asked.conversation, asked.after))
            return
        view.heads[asked.conversation] = max(outcome.head, view.heads.get(asked.conversation, 0))
        for entry in outcome.entries:
            connection = view.appends.get(entry.key or "")
            session = None if connection is None else view_of(view.node, connection)
            if session is not None and session.behind.get(entry.conversation) == entry.seq - 1:
                self.count("stopped")

    def _leases_read(self) -> None:
        bus = self._cluster.bus
        for port, (until_ms, users) in bus.leases.items():
            if until_ms <= bus.world.now_ms and users and self._expired.get(port) != until_ms:
                self._expired[port] = until_ms
                self.count("lease")

    # ------------------------------------------------------------------ bus messages and effects

    def _bus_entry(self, view: _NodeView, entry: op.LogEntry, effects: list[AnyEffect]) -> None:
        head = view.heads.get(entry.conversation)
        if head is not None and entry.seq <= head:
            self.count("repeat")
            return
        view.heads[entry.conversation] = entry.seq
        for read in _asked(effects, op.ReadLog):
            if read.conversation == entry.conversation and read.after + 1 < entry.seq:
                self.count("gap")
                return

    def _query(self, view: _NodeView, effect: fx.Query, cause: AnyEvent) -> None:
        operation = effect.operation
        view.queries[effect.ticket] = operation, cause
        if isinstance(operation, op.Append) and isinstance(cause, ev.BytesReceived):
            view.appends[operation.key] = cause.connection
        elif isinstance(operation, op.ReadLog):
            page = operation.conversation, operation.after
            if page in view.unread_pages:
                view.unread_pages.discard(page)
                self.count("page_retried")

    def _sent(self, view: _NodeView, effect: fx.Send) -> None:
        if view.due_replies:
            for place in _sent_replies(effect.data):
                reply = (effect.connection, *place)
                if reply in view.due_replies:
                    view.due_replies.discard(reply)
                    self.count("sent_in_place")
        if effect.data.startswith(_LOGGED_IN):
            session = view_of(view.node, effect.connection)
            if session is not None and session.user is not None:
                if session.user in view.absent:
                    view.absent.discard(session.user)
                    self.count("flap")
                view.users[effect.connection] = session.user


def _deferred(node: Node) -> int:
    return node.resource_counts().get("deferred connections", 0)


def _asked(effects: list[AnyEffect], kind: type[op.ReadLog]) -> Iterator[op.ReadLog]:
    """The operations of that kind among the effects."""
    for effect in effects:
        if isinstance(effect, fx.Query) and isinstance(effect.operation, kind):
            yield effect.operation


def _sent_replies(data: bytes) -> list[tuple[int, int]]:
    """Conversation and seq of the `sent` frames in the data."""
    if _SENT not in data:
        return []
    frames = [_decode_sent(line) for line in data.splitlines() if line.startswith(_SENT)]
    return [(frame.conversation, frame.seq) for frame in frames]


@contextmanager
def watching(facts: Facts) -> Iterator[None]:
    """Counts `cache_used` and `cache_stale` meanwhile. One at a time in a process."""
    undo = [
        _before(AppendCache, "verified", lambda cache, heads: facts.count("cache_used")),
        _before(AppendCache, "found_stale", lambda cache: facts.count("cache_stale")),
    ]
    try:
        yield
    finally:
        for restore in undo:
            restore()


def _before(owner: type, name: str, look: Callable[..., None]) -> Callable[[], None]:
    """Calls `look` with the arguments of each call of a method. Returns what restores it."""
    original = getattr(owner, name)

    def watched(*args: object, **kwargs: object) -> object:
        look(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, watched)
    return lambda: setattr(owner, name, original)
