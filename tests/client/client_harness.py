"""Real client sessions on the real nodes of a NodeHarness, over wires that can be
cut, frozen and slowed.

What a client's effects tell is kept in its `Client`: which entries it applied, what became of
its sends. A wire holds the bytes under way in both directions; `run` lets all of it flow.
"""

import random
from collections import deque
from dataclasses import dataclass, field

from chat.client.session import interface as io
from chat.client.session.session import ClientSession
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.state.config import NodeConfig
from chat.protocol.messages import Entry
from chat.storage.transactions.execute import execute
from tests.core.node_harness import NodeHarness, NodeHost, Peer


@dataclass
class Wire:
    """One connection, with what is under way on it. Frozen: nothing comes through, nobody knows."""

    number: int
    peer: Peer
    to_node: deque[bytes] = field(default_factory=deque)
    to_client: deque[bytes] = field(default_factory=deque)
    frozen: bool = False


class Client:
    """A client session and what it has told."""

    def __init__(self, street: "ClientHarness", name: str, node: int) -> None:
        self.street = street
        self.name = name
        self.node = node
        self.session = ClientSession(f"{name}{len(street.clients)}", random.Random(name).random)
        self.wire: Wire | None = None
        self.notices: list[io.Notice] = []
        self.applied: dict[int, list[Entry]] = {}
        self.outcomes: dict[int, list[io.SendSettled | io.SendFailed]] = {}
        self.said: dict[int, tuple[int, str]] = {}
        """By ref: the conversation's target (as the test names it) and the text."""
        self.shows = False
        self._refs = 0

    def handle(self, event: io.AnyEvent) -> None:
        for effect in self.session.handle(event, self.street.now_ms):
            match effect:
                case io.Dial(number):
                    self.street.dial(self, number)
                case io.Transmit(number, data):
                    assert data.endswith(b"\n")
                    if self.wire is not None and self.wire.number == number:
                        self.wire.to_node.append(data)
                case io.HangUp(number):
                    if self.wire is not None and self.wire.number == number:
                        self.street.cut(self, told=False)
                case _:
                    self.notices.append(effect)
                    self._keep(effect)

    def _keep(self, notice: io.Notice) -> None:
        if isinstance(notice, io.EntryApplied):
            self.applied.setdefault(notice.conversation, []).append(notice.entry)
            if self.shows:
                self.street.later.append((self, io.Shown(notice.conversation, notice.entry.seq)))
        elif isinstance(notice, io.SendSettled | io.SendFailed):
            self.outcomes.setdefault(notice.ref, []).append(notice)

    # ------------------------------------------------------------------ what a person does

    def log_in(self) -> None:
        self.handle(io.LogIn(self.name, f"secret-{self.name}"))
        self.street.run()

    def chat(self, to: int | str, text: str) -> int:
        self._refs += 1
        self.handle(io.SendChat(self._refs, to, text))
        return self._refs

    def group_chat(self, group: int, text: str) -> int:
        self._refs += 1
        self.handle(io.SendGroupChat(self._refs, group, text))
        return self._refs

    def ask(self, request: io.Question) -> int:
        self._refs += 1
        self.handle(io.Ask(self._refs, request))
        return self._refs

    def outcome(self, ref: int) -> io.RequestDone | io.RequestFailed:
        (outcome,) = (
            notice
            for notice in self.notices
            if isinstance(notice, io.RequestDone | io.RequestFailed) and notice.ref == ref
        )
        return outcome

    def texts(self, conversation: int) -> list[str]:
        return [entry.text for entry in self.applied.get(conversation, []) if entry.text]

    def told(self, kind: type[io.Effect]) -> list[io.Notice]:
        return [notice for notice in self.notices if isinstance(notice, kind)]


class ClientHarness(NodeHarness):
    """A house with clients around it."""

    def __init__(self, nodes: int = 1, **config: int) -> None:
        self.clients: list[Client] = []
        self.later: deque[tuple[Client, io.AnyEvent]] = deque()
        self.wires: dict[int, tuple[Client, Wire]] = {}
        self.down: set[int] = set()
        """Nodes that take no connections."""
        super().__init__(nodes, bus=True, **config)

    def client(self, name: str, node: int = 0) -> Client:
        client = Client(self, name, node)
        self.clients.append(client)
        return client

    # ------------------------------------------------------------------ wires

    def dial(self, client: Client, number: int) -> None:
        if client.node in self.down:
            self.later.append((client, io.Disconnected(number, "connection refused")))
            return
        self._connections += 1
        host = self.nodes[client.node]
        peer = host.peers[self._connections] = Peer(self, host, self._connections)
        client.wire = Wire(number, peer)
        self.wires[self._connections] = client, client.wire
        host.feed(ev.ConnectionOpened(self._connections, "10.0.0.1"))
        self.later.append((client, io.Connected(number)))

    def cut(self, client: Client, *, told: bool = True) -> None:
        """The connection ends; what was under way is lost. `told`: the client notices."""
        wire = client.wire
        if wire is None:
            return
        client.wire = None
        del self.wires[wire.peer.connection]
        wire.peer.hang_up()
        if told:
            self.later.append((client, io.Disconnected(wire.number, "connection reset")))

    def _receive(self, host: NodeHost, connection: int, data: bytes) -> None:
        if connection in self.wires:
            self.wires[connection][1].to_client.append(data)
        else:
            super()._receive(host, connection, data)

    def carry_out(self, host: NodeHost, effect: AnyEffect) -> None:
        super().carry_out(host, effect)
        if isinstance(effect, fx.Close) and effect.connection in self.wires:
            client, wire = self.wires[effect.connection]
            if not wire.frozen:
                self._flow_to_client(client, wire, everything=True)
                self.cut(client)

    def restart(self, node: int) -> None:
        """The node is killed, with all it knew but the store; a new one takes its place."""
        for client, _ in list(self.wires.values()):
            if client.node == node:
                self.cut(client)
        host = self.nodes[node] = NodeHost(self, NodeConfig(name=f"node-{node}"))
        host.feed(ev.BusUp())

    # ------------------------------------------------------------------ turns and time

    def flow(self, client: Client, *, up: bool, size: int) -> None:
        """Lets some bytes of a client's wire through, in one direction."""
        wire = client.wire
        if wire is None or wire.frozen:
            return
        queue = wire.to_node if up else wire.to_client
        if not queue:
            return
        data = b"".join(queue)
        queue.clear()
        if data[size:]:
            queue.append(data[size:])
        if up:
            wire.peer.write(data[:size])
        else:
            self.later.append((client, io.BytesReceived(wire.number, data[:size])))

    def _flow_to_client(self, client: Client, wire: Wire, *, everything: bool) -> None:
        if everything and wire.to_client:
            data = b"".join(wire.to_client)
            wire.to_client.clear()
            self.later.append((client, io.BytesReceived(wire.number, data)))

    def think(self) -> None:
        """Nodes and clients handle what has reached them; nothing flows."""
        for _ in range(100_000):
            NodeHarness.run(self)
            if not self.later:
                return
            client, event = self.later.popleft()
            client.handle(event)
        raise AssertionError("the street does not come to rest")

    def run(self) -> None:
        for _ in range(100_000):
            self.think()
            moved = False
            for client, wire in list(self.wires.values()):
                if (wire.to_node or wire.to_client) and not wire.frozen:
                    moved = True
                    self.flow(client, up=True, size=1 << 20)
                    self.flow(client, up=False, size=1 << 20)
            if not moved and not self.later:
                return
        raise AssertionError("the street does not come to rest")

    def pass_time(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        for _ in range(100_000):
            self.run()
            times = [host.node.next_deadline_ms() for host in self.nodes]
            times += [client.session.next_deadline_ms() for client in self.clients]
            due = [at_ms for at_ms in times if at_ms is not None]
            if not due or min(due) > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, min(due))
            self.tick()
        raise AssertionError("time does not pass")

    def tick(self) -> None:
        for host in self.nodes:
            at_ms = host.node.next_deadline_ms()
            if at_ms is not None and at_ms <= self.now_ms:
                host.feed(ev.Tick())
        for client in self.clients:
            at_ms = client.session.next_deadline_ms()
            if at_ms is not None and at_ms <= self.now_ms:
                self.later.append((client, io.Tick()))

    # ------------------------------------------------------------------ the truth

    def log(self, conversation: int) -> tuple[op.LogEntry, ...]:
        outcome = execute(self.store, op.ReadLog(conversation, 0, 10_000))
        assert isinstance(outcome, op.LogRead)
        return outcome.entries
