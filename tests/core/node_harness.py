"""A small harness for core tests: real nodes, the real transactions on an in-memory store, a clock
one turns by hand, and peers who write lines and keep what they got."""

import json
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from chat.core.node import Node
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.core.ports.routing import Parties, route
from chat.core.state.config import NodeConfig
from chat.core.state.operation_queues import PasswordQueue
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import State
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.dispatch import execute
from chat.storage.schema import migrate

Line = dict[str, Any]


def ping(id: int) -> bytes:
    return json.dumps({"type": "ping", "id": id}).encode() + b"\n"


class Committed(op.Operation[op.Outcome], frozen=True):
    """Stands for an operation that was carried out already, with what came of it."""

    outcome: op.AnyOutcome


class Peer:
    """The far end of a connection."""

    def __init__(self, harness: "NodeHarness", node: "NodeHost", connection: int) -> None:
        self.harness = harness
        self.node = node
        self.connection = connection
        self.got: list[Line] = []
        self.open = True
        self.closed = False
        self.paused = False
        self.next_id = 0

    def write(self, data: bytes) -> None:
        self.node.feed(ev.BytesReceived(self.connection, data))

    def ask(self, type: str, **fields: object) -> int:
        """Sends a request without waiting; its id."""
        self.next_id += 1
        self.write(json.dumps({"type": type, "id": self.next_id, **fields}).encode() + b"\n")
        return self.next_id

    def call(self, type: str, **fields: object) -> Line:
        """Sends a request, lets everything happen, gives the reply."""
        number = self.ask(type, **fields)
        self.harness.run()
        (reply,) = (line for line in self.got if line.get("re") == number)
        return reply

    def pushes(self, type: str) -> list[Line]:
        return [line for line in self.got if line["type"] == type]

    def texts(self, conversation: int) -> list[str]:
        """The texts that were pushed from a conversation."""
        return [m["text"] for m in self.pushes("message") if m["conversation"] == conversation]

    def forget(self) -> None:
        self.got.clear()

    def hang_up(self) -> None:
        if self.open:
            self.open = False
            self.node.feed(ev.ConnectionLost(self.connection))


class NodeHost:
    """A node and what its effects reach."""

    def __init__(self, harness: "NodeHarness", config: NodeConfig) -> None:
        self.harness = harness
        self.node = Node(config)
        self.peers: dict[int, Peer] = {}
        self.events: deque[AnyEvent] = deque()
        self.subscribed: set[str] = set()
        self.online: set[int] = set()
        self.log: list[tuple[AnyEvent, int, list[AnyEffect]]] = []

    def feed(self, event: AnyEvent) -> None:
        self.events.append(event)

    def step(self) -> bool:
        if not self.events:
            return False
        for bug in self.handle(self._next()):
            raise bug
        check_tables(self.node)
        return True

    def handle(self, event: AnyEvent) -> list[Exception]:
        """Has the event handled and its effects carried out; the bugs that came out."""
        now_ms = self.harness.now_ms
        effects = self.node.handle(event, now_ms)
        self.log.append((event, now_ms, effects))
        for effect in effects:
            self.harness.carry_out(self, effect)
        return self.node.take_internal_errors()

    def _next(self) -> AnyEvent:
        """The next event; answers that stand together are one, as those of a commit are."""
        event = self.events.popleft()
        if not isinstance(event, ev.Answer):
            return event
        answers = [(event.ticket, event.outcome)]
        while self.events and isinstance(answer := self.events[0], ev.Answer):
            answers.append((answer.ticket, answer.outcome))
            self.events.popleft()
        return ev.answer_event(answers)


class NodeHarness:
    """Nodes that share a store and a bus. `answers` and bus messages may be held back or lost."""

    def __init__(self, nodes: int = 1, *, bus: bool = True, **config: int) -> None:
        self.now_ms = 1_000_000
        self.store = open_sqlite(":memory:")
        weakref.finalize(self, self.store.close)
        migrate(self.store)
        self.hold_answers: Callable[[op.AnyOperation], bool] = lambda operation: False
        self.held: deque[tuple[NodeHost, int, op.AnyOperation | Committed]] = deque()
        self.lose_messages: Callable[[str], bool] = lambda channel: False
        self.fail: Callable[[op.AnyOperation], op.AnyOutcome | None] = lambda operation: None
        self.nodes = [
            NodeHost(self, NodeConfig(f"node-{n}", alone=False, **config)) for n in range(nodes)
        ]
        self._connections = 0
        self._tokens = 0
        self._parties = Parties[op.AnyOutcome](
            lambda ticket, operation: execute(self.store, operation),
            self._answer_password,
            self._find_presence,
        )
        if bus:
            for node in self.nodes:
                node.feed(ev.BusUp())
        self.run()

    # ------------------------------------------------------------------ people

    def connect(self, node: int = 0, address: str = "10.0.0.1") -> Peer:
        self._connections += 1
        host = self.nodes[node]
        peer = host.peers[self._connections] = Peer(self, host, self._connections)
        host.feed(ev.ConnectionOpened(self._connections, address))
        self.run()
        return peer

    def register(self, *names: str) -> list[int]:
        peer = self.connect()
        ids = [peer.call("register", name=n, password=f"secret-{n}")["user"]["id"] for n in names]
        peer.hang_up()
        self.run()
        return ids

    def login(self, name: str, node: int = 0) -> Peer:
        peer = self.connect(node)
        assert peer.call("login", user=name, password=f"secret-{name}")["type"] == "logged_in"
        return peer

    def friends(self, one: str, other: str) -> int:
        """Makes two registered users friends; the number of their conversation."""
        first, second = self.login(one), self.login(other)
        first.call("add_friend", user=other)
        second.call("add_friend", user=one)
        (push,) = first.pushes("friend")
        first.hang_up()
        second.hang_up()
        self.run()
        self.pass_time(10_000)
        return int(push["friend"]["conversation"])

    # ------------------------------------------------------------------ time and turns

    def run(self) -> None:
        """Lets everything happen that can without time passing."""
        for _ in range(1_000_000):
            moved = [node.step() for node in self.nodes]
            if not any(moved):
                return
        raise AssertionError("the harness does not come to rest")

    def pass_time(self, ms: int) -> None:
        """Lets time pass, each node woken when it asked for it."""
        end_ms = self.now_ms + ms
        for _ in range(100_000):
            self.run()
            due = [d for n in self.nodes if (d := n.node.next_deadline_ms()) is not None]
            if not due or min(due) > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, min(due))
            for node in self.nodes:
                at_ms = node.node.next_deadline_ms()
                if at_ms is not None and at_ms <= self.now_ms:
                    node.feed(ev.Tick())
        raise AssertionError("time does not pass")

    # ------------------------------------------------------------------ effects

    def carry_out(self, host: NodeHost, effect: AnyEffect) -> None:
        if isinstance(effect, fx.Send):
            self._receive(host, effect.connection, effect.data)
        elif isinstance(effect, fx.Deliver):
            for connection in effect.connections:
                self._receive(host, connection, effect.data)
        elif isinstance(effect, fx.Close):
            host.peers[effect.connection].closed = True
            host.peers[effect.connection].hang_up()
        elif isinstance(effect, fx.PauseReading | fx.ResumeReading):
            host.peers[effect.connection].paused = isinstance(effect, fx.PauseReading)
        elif isinstance(effect, fx.Query):
            if self.hold_answers(effect.operation):
                self.held.append((host, effect.ticket, effect.operation))
            else:
                host.feed(ev.Answer(effect.ticket, self.answer(effect.operation)))
        elif isinstance(effect, fx.Subscribe):
            host.subscribed.add(effect.channel)
            host.feed(ev.Subscribed(effect.ticket))
        elif isinstance(effect, fx.Unsubscribe):
            host.subscribed.discard(effect.channel)
        elif isinstance(effect, fx.Publish):
            for channel in effect.channels:
                if not self.lose_messages(channel):
                    for node in self.nodes:
                        if channel in node.subscribed and node is not host:
                            node.feed(ev.BusMessageReceived(channel, effect.message))
        else:
            host.online |= set(effect.online)
            host.online -= set(effect.offline)

    def _receive(self, host: NodeHost, connection: int, data: bytes) -> None:
        assert data.endswith(b"\n")
        peer = host.peers[connection]
        assert not peer.closed, "something was sent to a connection after its Close"
        if peer.open:
            peer.got += [json.loads(line) for line in data.splitlines()]

    def answer_held(self) -> None:
        """The answers that were held back come, in order."""
        while self.held:
            host, ticket, operation = self.held.popleft()
            host.feed(ev.Answer(ticket, self.answer(operation)))
        self.run()

    def answer(self, operation: op.AnyOperation | Committed) -> op.AnyOutcome:
        if isinstance(operation, Committed):
            return operation.outcome
        failure = self.fail(operation)
        if failure is not None:
            return failure
        return route(self._parties, 0, operation)

    def _answer_password(self, ticket: int, operation: op.PasswordOperation) -> op.AnyOutcome:
        if isinstance(operation, op.HashPassword):
            return op.PasswordHashed(f"hash of {operation.password}")
        self._tokens += 1
        matches = operation.password_hash == f"hash of {operation.password}"
        return op.PasswordChecked(matches, f"{self._tokens:064x}" if matches else "")

    def _find_presence(self, ticket: int, operation: op.PresenceOperation) -> op.AnyOutcome:
        online = set().union(*(node.online for node in self.nodes))
        return op.PresenceFound(tuple(u for u in operation.users if u in online))


def check_tables(node: Node) -> None:
    """Audiences that are kept are right; nobody who could go on waits; who has something due is
    looked at."""
    context, timers = node._context, node._timers
    for conversation in node._streams.conversations.values():
        for id, (own, others) in conversation._audiences.items():
            user = context.users.get(id)
            mine = [] if user is None else list(user.sessions)
            assert list(own) == [one for one in mine if one in conversation.live]
            assert list(others) == [one for one in conversation.live if one not in mine]
    scheduler, admission = node._scheduler, node._admission
    check_queues(node)
    quanta = [due for _, _, due in context.deadlines._heap if due == scheduler.serve_deferred]
    assert len(quanta) == scheduler._armed >= bool(scheduler._deferred)
    assert all(context.sessions[deferred].waiting for deferred in scheduler._deferred)
    for session in context.sessions.values():
        if session.state is State.CLOSING:
            assert not session.admitted
            continue
        waits, frames = session.waiting, session.frames
        assert session.draining or waits or b"\n" not in frames.unread
        assert (
            session.under_way
            or not waits
            or session.state is State.AUTHENTICATING
            or session.full
            or session.paced
            or session.connection in scheduler._deferred
        )
        assert session.under_way or not session.draining
        assert session.under_way or waits or session.input_ended_at_ms is None
        unauthenticated = session.connection in admission._unauthenticated
        assert session.admitted
        assert unauthenticated == (session.state is not State.READY)
        assert unauthenticated == (
            session.connection in admission._by_address[session.address].unauthenticated
        )
        if timers._deadlines(session):
            at_ms = session.check_at_ms
            assert at_ms is not None
            assert session.connection in timers._checks[at_ms]


def check_queues(node: Node) -> None:
    """What is under way is counted; an operation waits only if there is no room for it."""
    context = node._context
    queues = set(context.queues.by_type.values())
    for queue in queues:
        asked = [queue_ for _, queue_ in context.continuations.values() if queue_ is queue]
        assert len(asked) == queue.under_way + len(queue.waiting)
        assert len(queue.waiting) == sum(map(len, queue.waiting.turns.values()))
        assert all(queue.waiting.turns.values())
        if queue.waiting.turns and queue.under_way < queue._limit:
            assert isinstance(queue, PasswordQueue)
            assert context.now_ms < queue.not_before_ms
            deadlines = [at_ms for at_ms, _, _ in context.deadlines._heap]
            assert queue.not_before_ms in deadlines


UNAVAILABLE = op.Refused(ErrorCode.UNAVAILABLE)
