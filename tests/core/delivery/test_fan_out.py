"""Two nodes, real transactions, a bus that loses, repeats and reorders: every device applies every
entry once, in order, and every `sent` stands in its entry's place."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.bus_messages import EntryBusMessage, RosterBusMessage
from chat.protocol.messages import EntryKind
from tests.core.node_harness import UNAVAILABLE, Committed, NodeHarness, NodeHost, Peer

NAMES = ("ann", "bob", "cyd")


class UnreliableHarness(NodeHarness):
    """Bus messages wait until a rule takes one, again or never; answers too, but in order."""

    def __init__(self, nodes: int) -> None:
        self.messages: list[tuple[NodeHost, ev.BusMessageReceived]] = []
        super().__init__(nodes, page_entries=3, sends_per_second=10_000, send_burst=10_000)

    def carry_out(self, host: NodeHost, effect: fx.AnyEffect) -> None:
        if isinstance(effect, fx.Publish) and isinstance(
            effect.message, EntryBusMessage | RosterBusMessage
        ):
            for channel in effect.channels:
                for node in self.nodes:
                    if channel in node.subscribed:
                        event = ev.BusMessageReceived(channel, effect.message)
                        self.messages.append((node, event))
        else:
            super().carry_out(host, effect)


class Device:
    """A client's side of the contract, with the least code that can check it."""

    def __init__(self, harness: NodeHarness, name: str, node: int) -> None:
        self.name = name
        self.peer = harness.connect(node)
        self.cursors: dict[int, int] = {}
        self.since: dict[int, int] = {}
        self.applied: dict[int, list[tuple[int, str]]] = {}
        self.unsettled: dict[int, tuple[str, dict[str, Any]]] = {}
        self.token = ""
        self.read = 0

    def take_in(self) -> None:
        """Applies what has come since the last look."""
        lines, self.read = self.peer.got[self.read :], len(self.peer.got)
        for line in lines:
            kind = line["type"]
            if kind == "logged_in":
                self.token = line["token"]
                mine = {friend["conversation"] for friend in line["friends"]}
                mine |= {group["id"] for group in line["groups"]}
                self.cursors = {id: seq for id, seq in self.cursors.items() if id in mine}
                for friend in line["friends"]:
                    self.begin(friend["conversation"], friend["read"])
                for group in line["groups"]:
                    self.begin(group["id"], max(group["read"], group["since"] - 1))
            elif kind == "friend":
                self.begin(line["friend"]["conversation"], line["friend"]["read"])
            elif kind == "group":
                self.begin(line["group"]["id"], line["group"]["since"] - 1)
            elif kind == "message":
                self.apply(line["conversation"], line["seq"], line["text"])
            elif kind == "error" and line["re"] in self.unsettled:
                assert line["code"] in ("not_member", "no_such_group")
                del self.unsettled[line["re"]]
            elif kind == "sent":
                fields = self.unsettled.pop(line["re"])[1]
                if line["seq"] > self.cursors.get(line["conversation"], line["seq"]):
                    self.apply(line["conversation"], line["seq"], fields["text"])
            elif kind == "group_deleted":
                self.cursors.pop(line["group"], None)

    def begin(self, conversation: int, cursor: int) -> None:
        if self.cursors.get(conversation, -1) < cursor:
            self.cursors[conversation] = cursor
            self.applied.setdefault(conversation, [])

    def apply(self, conversation: int, seq: int, text: str) -> None:
        assert seq == self.cursors[conversation] + 1, "a gap or a repeat"
        self.cursors[conversation] = seq
        self.applied[conversation].append((seq, text))


class Deliveries(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.harness = UnreliableHarness(2)
        self.harness.register(*NAMES)
        boss = self.harness.login("ann")
        self.group = boss.call("create_group", name="all")["group"]["id"]
        for name in NAMES[1:]:
            self.harness.login(name).call("join_group", group=self.group)
        self.devices: list[Device] = []
        self.sends = 0
        self.held = False

    @precondition(lambda self: len(self.devices) < 6)
    @rule(name=st.sampled_from(NAMES), node=st.integers(0, 1))
    def login(self, name: str, node: int) -> None:
        self.settle_answers()
        device = Device(self.harness, name, node)
        device.peer.call("login", user=name, password=f"secret-{name}")
        self.devices.append(device)
        device.take_in()

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), count=st.integers(1, 5))
    def send(self, data: st.DataObject, count: int) -> None:
        device = data.draw(st.sampled_from(self.devices))
        for _ in range(count):
            self.sends += 1
            fields = {"group": self.group, "text": f"text {self.sends}", "key": f"k{self.sends}"}
            device.unsettled[device.peer.ask("group_chat", **fields)] = ("group_chat", fields)
        self.look()

    @precondition(lambda self: self.devices and not self.held)
    @rule(data=st.data(), kind=st.sampled_from(["join_group", "leave_group"]))
    def come_or_go(self, data: st.DataObject, kind: str) -> None:
        device = data.draw(st.sampled_from(self.devices))
        device.peer.ask(kind, group=self.group)
        self.look()

    @rule()
    def hold_answers(self) -> None:
        self.held = True
        self.harness.hold_answers = lambda operation: isinstance(operation, op.Append | op.ReadLog)

    @rule()
    def settle_answers(self) -> None:
        self.held = False
        self.harness.hold_answers = lambda operation: False
        self.harness.answer_held()
        self.look()

    @precondition(lambda self: self.harness.held)
    @rule()
    def one_answer(self) -> None:
        host, ticket, operation = self.harness.held.popleft()
        host.feed(ev.Answer(ticket, self.harness.answer(operation)))
        self.look()

    @precondition(lambda self: self.harness.held)
    @rule()
    def pages_overtake(self) -> None:
        """Reads have a thread of their own: they are answered while appends wait."""
        reads = [held for held in self.harness.held if isinstance(held[2], op.ReadLog)]
        for held in reads:
            self.harness.held.remove(held)
            held[0].feed(ev.Answer(held[1], self.harness.answer(held[2])))
        self.look()

    @precondition(lambda self: any(isinstance(held[2], op.Append) for held in self.harness.held))
    @rule()
    def commit_before_answer(self) -> None:
        """An append is committed; its answer comes later than anything else."""
        for place, (host, ticket, operation) in enumerate(self.harness.held):
            if isinstance(operation, op.Append):
                outcome = self.harness.answer(operation)
                self.harness.held[place] = (host, ticket, Committed(outcome))
                break

    @precondition(lambda self: self.harness.messages)
    @rule(data=st.data(), again=st.booleans())
    def bus_message(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.harness.messages) - 1))
        messages = self.harness.messages
        node, event = messages[place] if again else messages.pop(place)
        node.feed(event)
        self.look()

    @rule()
    def lose_messages(self) -> None:
        self.harness.messages.clear()

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), full=st.booleans())
    def buffer(self, data: st.DataObject, full: bool) -> None:
        peer = data.draw(st.sampled_from(self.devices)).peer
        event = ev.WriteBufferFull if full else drained
        peer.node.feed(event(peer.connection))
        self.look()

    @precondition(lambda self: self.devices and not self.held)
    @rule(data=st.data(), node=st.integers(0, 1))
    def reconnect(self, data: st.DataObject, node: int) -> None:
        """The connection breaks; the device resumes, elsewhere perhaps, and sends again."""
        device = data.draw(st.sampled_from(self.devices))
        device.peer.hang_up()
        self.harness.run()
        device.peer, device.read = self.harness.connect(node), 0
        cursors = {str(conversation): seq for conversation, seq in device.cursors.items()}
        assert device.peer.call("resume", token=device.token, cursors=cursors)
        unsettled, device.unsettled = device.unsettled, {}
        for type, fields in unsettled.values():
            device.unsettled[device.peer.ask(type, **fields)] = (type, fields)
        self.look()

    @rule(failing=st.booleans())
    def pages_fail(self, failing: bool) -> None:
        self.harness.fail = lambda operation: (
            UNAVAILABLE if failing and isinstance(operation, op.ReadLog) else None
        )

    def look(self) -> None:
        self.harness.run()
        for device in self.devices:
            device.take_in()

    def teardown(self) -> None:
        if not hasattr(self, "devices"):
            return
        self.harness.messages.clear()
        self.pages_fail(failing=False)
        for device in self.devices:
            device.peer.node.feed(drained(device.peer.connection))
        self.settle_answers()
        keep_alive(self.harness, [device.peer for device in self.devices], 30_000)
        self.look()
        log = self.harness.answer(op.ReadLog(self.group, 0, 10_000))
        assert isinstance(log, op.LogRead)
        texts = {entry.seq: entry.text for entry in log.entries}
        assert sorted(texts) == list(range(1, log.head + 1))
        spans, members = memberships(log.entries)
        for device in self.devices:
            assert not device.unsettled
            mine = spans[device.name]
            if device.name in members:
                assert device.cursors[self.group] == log.head
            for seq, text in device.applied.get(self.group, []):
                assert texts[seq] == text
                assert seq in mine, "an entry for one who was no member"


def memberships(entries: tuple[op.LogEntry, ...]) -> tuple[dict[str, set[int]], set[str]]:
    """The seqs at which each was a member, the joining and the leaving among them; and who is
    one."""
    spans: dict[str, set[int]] = {name: set() for name in NAMES}
    members: set[str] = set()
    for entry in entries:
        if entry.kind is EntryKind.JOINED:
            members.add(entry.sender_name)
        for name in members:
            spans[name].add(entry.seq)
        if entry.kind is EntryKind.LEFT:
            members.discard(entry.sender_name)
    return spans, members


def drained(connection: int) -> ev.WriteBufferDrained:
    return ev.WriteBufferDrained(connection, 0)


def keep_alive(harness: NodeHarness, peers: list[Peer], ms: int) -> None:
    """Time passes for people whose clients are awake."""
    for _ in range(ms // 10_000):
        harness.pass_time(10_000)
        for peer in peers:
            peer.ask("ping")
        harness.run()


Deliveries.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
TestDeliveries = Deliveries.TestCase
