"""Real client sessions on the real nodes of a NodeHarness, over connections that can be cut, frozen
and slowed.

A `Client` keeps what its session told: the entries it applied, the outcomes of its sends. A `Link`
holds the bytes in transit in both directions; `run` transfers them all.
"""

import random
from collections import deque
from dataclasses import dataclass, field

from chat.client.session.client_session import ClientSession
from chat.client.session.ports import effects as client_fx
from chat.client.session.ports import events as client_ev
from chat.client.session.ports import notices
from chat.client.session.ports.requests import QueuedRequest
from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.state.config import NodeConfig
from chat.protocol.messages import Entry
from chat.storage.dispatch import execute
from tests.core.node_harness import NodeHarness, NodeHost, Peer

EVERYTHING_BYTES = 1 << 20


@dataclass
class Link:
    """One connection and the bytes in transit on it. While it is frozen nothing is transferred, and
    neither end is told."""

    number: int
    """The number of the session's Dial."""
    peer: Peer
    to_node: deque[bytes] = field(default_factory=deque)
    to_client: deque[bytes] = field(default_factory=deque)
    frozen: bool = False


class Client:
    """A client session and what it has told."""

    def __init__(self, harness: "ClientHarness", name: str, node: int) -> None:
        self.harness = harness
        self.name = name
        self.node = node
        self.session = ClientSession(f"{name}{len(harness.clients)}", random.Random(name).random)
        self.link: Link | None = None
        self.notices: list[notices.AnyNotice] = []
        self.applied: dict[int, list[Entry]] = {}
        self.outcomes: dict[int, list[notices.SendSettled | notices.SendFailed]] = {}
        self.marks_read = False
        """Each entry that is applied is marked as read at once."""
        self._refs = 0

    def handle(self, event: client_ev.AnyEvent) -> None:
        for effect in self.session.handle(event, self.harness.now_ms):
            match effect:
                case client_fx.Dial(number):
                    self.harness.dial(self, number)
                case client_fx.Transmit(number, data):
                    assert data.endswith(b"\n")
                    if self.link is not None and self.link.number == number:
                        self.link.to_node.append(data)
                case client_fx.HangUp(number):
                    if self.link is not None and self.link.number == number:
                        self.harness.disconnect(self, noticed=False)
                case _:
                    self.notices.append(effect)
                    self._record(effect)

    def _record(self, notice: notices.AnyNotice) -> None:
        if isinstance(notice, notices.EntryApplied):
            self.applied.setdefault(notice.conversation, []).append(notice.entry)
            if self.marks_read:
                mark = client_ev.MarkRead(notice.conversation, notice.entry.seq)
                self.harness.client_events.append((self, mark))
        elif isinstance(notice, notices.SendSettled | notices.SendFailed):
            self.outcomes.setdefault(notice.ref, []).append(notice)

    # ------------------------------------------------------------------ what the user does

    def log_in(self) -> None:
        self.handle(client_ev.LogIn(self.name, f"secret-{self.name}"))
        self.harness.run()

    def chat(self, to: int | str, text: str) -> int:
        """The ref of the send."""
        self._refs += 1
        self.handle(client_ev.SendChat(self._refs, to, text))
        return self._refs

    def group_chat(self, group: int, text: str) -> int:
        """The ref of the send."""
        self._refs += 1
        self.handle(client_ev.SendGroupChat(self._refs, group, text))
        return self._refs

    def request(self, request: QueuedRequest) -> int:
        """The ref of the request."""
        self._refs += 1
        self.handle(client_ev.SubmitRequest(self._refs, request))
        return self._refs

    # ------------------------------------------------------------------ what it was told

    def outcome(self, ref: int) -> notices.RequestDone | notices.RequestFailed:
        """The one outcome of a request."""
        (outcome,) = (
            notice
            for notice in self.notices
            if isinstance(notice, notices.RequestDone | notices.RequestFailed) and notice.ref == ref
        )
        return outcome

    def texts(self, conversation: int) -> list[str]:
        return [entry.text for entry in self.applied.get(conversation, []) if entry.text]

    def told(self, kind: type[notices.Notice]) -> list[notices.AnyNotice]:
        return [notice for notice in self.notices if isinstance(notice, kind)]


class ClientHarness(NodeHarness):
    """Nodes that share a store and a bus, and clients of them."""

    def __init__(self, nodes: int = 1, **config: int) -> None:
        self.clients: list[Client] = []
        self.client_events: deque[tuple[Client, client_ev.AnyEvent]] = deque()
        """Events that clients have not handled yet."""
        self.links: dict[int, tuple[Client, Link]] = {}
        """By the node's number of the connection."""
        self.down: set[int] = set()
        """Nodes that take no connections."""
        super().__init__(nodes, bus=True, **config)

    def client(self, name: str, node: int = 0) -> Client:
        client = Client(self, name, node)
        self.clients.append(client)
        return client

    # ------------------------------------------------------------------ connections

    def dial(self, client: Client, number: int) -> None:
        if client.node in self.down:
            refused = client_ev.Disconnected(number, "connection refused")
            self.client_events.append((client, refused))
            return
        self._connections += 1
        host = self.nodes[client.node]
        peer = host.peers[self._connections] = Peer(self, host, self._connections)
        client.link = Link(number, peer)
        self.links[self._connections] = client, client.link
        host.feed(ev.ConnectionOpened(self._connections, "10.0.0.1"))
        self.client_events.append((client, client_ev.Connected(number)))

    def disconnect(self, client: Client, *, noticed: bool = True) -> None:
        """Ends the client's connection; the bytes in transit are lost. `noticed`: the client is
        told."""
        link = client.link
        if link is None:
            return
        client.link = None
        del self.links[link.peer.connection]
        link.peer.hang_up()
        if noticed:
            reset = client_ev.Disconnected(link.number, "connection reset")
            self.client_events.append((client, reset))

    def _receive(self, host: NodeHost, connection: int, data: bytes) -> None:
        if connection in self.links:
            self.links[connection][1].to_client.append(data)
        else:
            super()._receive(host, connection, data)

    def carry_out(self, host: NodeHost, effect: AnyEffect) -> None:
        super().carry_out(host, effect)
        if isinstance(effect, fx.Close) and effect.connection in self.links:
            client, link = self.links[effect.connection]
            if not link.frozen:
                self.transfer(client, to_node=False, max_bytes=EVERYTHING_BYTES)
                self.disconnect(client)

    def restart(self, node: int) -> None:
        """The node is killed, with all it knew but the store; a new one takes its place."""
        for client, _ in list(self.links.values()):
            if client.node == node:
                self.disconnect(client)
        host = self.nodes[node] = NodeHost(self, NodeConfig(name=f"node-{node}"))
        host.feed(ev.BusUp())

    def transfer(self, client: Client, *, to_node: bool, max_bytes: int) -> None:
        """Transfers bytes on a client's link, in one direction."""
        link = client.link
        if link is None or link.frozen:
            return
        queue = link.to_node if to_node else link.to_client
        if not queue:
            return
        data = b"".join(queue)
        queue.clear()
        if data[max_bytes:]:
            queue.append(data[max_bytes:])
        if to_node:
            link.peer.write(data[:max_bytes])
        else:
            received = client_ev.BytesReceived(link.number, data[:max_bytes])
            self.client_events.append((client, received))

    # ------------------------------------------------------------------ running, and time

    def handle_events(self) -> None:
        """Nodes and clients handle the events that have reached them; nothing is transferred."""
        for _ in range(100_000):
            NodeHarness.run(self)
            if not self.client_events:
                return
            client, event = self.client_events.popleft()
            client.handle(event)
        raise AssertionError("the harness does not come to rest")

    def run(self) -> None:
        for _ in range(100_000):
            self.handle_events()
            moved = False
            for client, link in list(self.links.values()):
                if (link.to_node or link.to_client) and not link.frozen:
                    moved = True
                    self.transfer(client, to_node=True, max_bytes=EVERYTHING_BYTES)
                    self.transfer(client, to_node=False, max_bytes=EVERYTHING_BYTES)
            if not moved and not self.client_events:
                return
        raise AssertionError("the harness does not come to rest")

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
                self.client_events.append((client, client_ev.Tick()))

    # ------------------------------------------------------------------ the store

    def log(self, conversation: int) -> tuple[op.LogEntry, ...]:
        """The conversation as it is stored."""
        outcome = execute(self.store, op.ReadLog(conversation, 0, 10_000))
        assert isinstance(outcome, op.LogRead)
        return outcome.entries
