"""The contract as clients see it, under faults of connections, nodes, store and bus."""

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from chat.client.session.ports import notices
from chat.core.ports import operations as op
from chat.protocol import messages as wire
from chat.protocol.errors import ErrorCode
from tests.client.client_harness import Client, ClientHarness

DEVICES = (("ann", 0), ("bob", 1), ("ann", 1), ("cyd", 0))
NAMES = ("ann", "bob", "cyd")
devices = st.integers(0, len(DEVICES) - 1)
WRITES = op.Append | op.OpenDevice | op.JoinGroup | op.LeaveGroup
UNAVAILABLE = op.Refused(ErrorCode.UNAVAILABLE)


class ContractMachine(RuleBasedStateMachine):
    """Ann with two devices, Bob and Cyd, friends of each other and members of one group, on two
    nodes. At the end all faults are healed, and the contract is checked."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = ClientHarness(nodes=2)
        self.harness.register(*NAMES)
        for one, other in (("ann", "bob"), ("ann", "cyd"), ("bob", "cyd")):
            self.harness.friends(one, other)
        self.clients = [self.harness.client(name, node) for name, node in DEVICES]
        for client in self.clients:
            client.log_in()
        self.clients[0].request(wire.CreateGroupRequest(id=0, name="all"))
        self.harness.run()
        (self.group,) = self.clients[0].session.roster.groups
        for client in (self.clients[1], self.clients[3]):
            client.request(wire.JoinGroupRequest(id=0, group=self.group))
        self.harness.pass_time(1_000)
        self.said: list[list[tuple[str, str, int]]] = [[] for _ in self.clients]
        self.texts = 0

    # ------------------------------------------------------------------ what users do

    @rule(
        device=devices,
        to=st.sampled_from(["ann", "bob", "cyd", "all"]),
        texts=st.integers(1, 3),
    )
    def send(self, device: int, to: str, texts: int) -> None:
        client = self.clients[device]
        for _ in range(texts if to != client.name else 0):
            self.texts += 1
            text = f"text {self.texts}"
            if to == "all":
                ref = client.group_chat(self.group, text)
            else:
                number = NAMES.index(to) + 1
                ref = client.chat(to if self.texts % 2 else number, text)
            self.said[device].append((to, text, ref))

    @rule(join=st.booleans())
    def join_or_leave(self, join: bool) -> None:
        """Cyd joins the group or leaves it."""
        if join:
            self.clients[3].request(wire.JoinGroupRequest(id=0, group=self.group))
        else:
            self.clients[3].request(wire.LeaveGroupRequest(id=0, group=self.group))

    @rule(device=devices, marks_read=st.booleans())
    def mark_read(self, device: int, marks_read: bool) -> None:
        self.clients[device].marks_read = marks_read

    # ------------------------------------------------------------------ connections

    @rule(device=devices, to_node=st.booleans(), max_bytes=st.integers(1, 400))
    def transfer(self, device: int, to_node: bool, max_bytes: int) -> None:
        self.harness.transfer(self.clients[device], to_node=to_node, max_bytes=max_bytes)
        self.harness.handle_events()

    @rule(device=devices, noticed=st.booleans())
    def disconnect(self, device: int, noticed: bool) -> None:
        client = self.clients[device]
        if noticed:
            self.harness.disconnect(client)
        elif client.link is not None:
            client.link.frozen = True
        self.harness.handle_events()

    @rule(device=devices, node=st.integers(0, 1))
    def move(self, device: int, node: int) -> None:
        self.clients[device].node = node

    @rule(ms=st.sampled_from([0, 30, 300, 3_000, 25_000]))
    def wait(self, ms: int) -> None:
        self.harness.pass_time(ms)

    # ------------------------------------------------------------------ nodes, store, bus

    @rule(node=st.integers(0, 1))
    def restart(self, node: int) -> None:
        self.harness.restart(node)
        self.harness.handle_events()

    @rule(node=st.integers(0, 1))
    def refuse(self, node: int) -> None:
        self.harness.down ^= {node}

    @rule(on=st.booleans())
    def lose_messages(self, on: bool) -> None:
        self.harness.lose_messages = lambda channel: on

    @rule(fault=st.sampled_from(["none", "refuse", "refuse some", "unknown", "stored but unknown"]))
    def fail(self, fault: str) -> None:
        turns = itertools.cycle([True, True, False, True, False])

        def outcome(operation: op.AnyOperation) -> op.AnyOutcome | None:
            if fault == "none" or not isinstance(operation, WRITES):
                return None
            if fault in ("refuse", "refuse some"):
                return UNAVAILABLE if fault == "refuse" or next(turns) else None
            if fault == "stored but unknown":
                self.harness.fail = lambda _: None
                self.harness.answer(operation)
                self.harness.fail = outcome
            return op.CommitUnknown()

        self.harness.fail = outcome

    @rule()
    def forget_tokens(self) -> None:
        """Every device has to log in with its password, once its connection is lost."""
        self.harness.store.execute("DELETE FROM devices")

    @precondition(lambda self: not self.harness.held)
    @rule()
    def hold_answers(self) -> None:
        self.harness.hold_answers = lambda operation: isinstance(operation, op.Append)

    @rule()
    def answer_held(self) -> None:
        self.harness.hold_answers = lambda operation: False
        self.harness.answer_held()

    # ------------------------------------------------------------------ the contract

    def teardown(self) -> None:
        harness = self.harness
        harness.fail = lambda operation: None
        harness.lose_messages = lambda channel: False
        self.answer_held()
        harness.down.clear()
        for client in self.clients:
            client.marks_read = True
        harness.pass_time(120_000)
        for device, client in enumerate(self.clients):
            self._check_sends(client, self.said[device])
            self._check_streams(client)
            assert client.session.online
            assert client.session.unsettled == 0
            assert not client.told(notices.LoginFailed)
        self._check_logs()

    def _check_sends(self, client: Client, said: list[tuple[str, str, int]]) -> None:
        for to, text, ref in said:
            (outcome,) = client.outcomes[ref]
            if isinstance(outcome, notices.SendFailed):
                assert (to, client.name) == ("all", "cyd")
                assert outcome.code is ErrorCode.NOT_MEMBER
                assert text not in [entry.text for entry in self.harness.log(self.group)]
            else:
                entry = self.harness.log(outcome.conversation)[outcome.seq - 1]
                assert (entry.text, entry.key) == (text, outcome.key)

    def _check_streams(self, client: Client) -> None:
        """Each device has applied a contiguous run up to the head, as it is in the log."""
        roster = client.session.roster
        for friend in roster.friends.values():
            log, applied = self.harness.log(friend.conversation), client.applied
            texts = [(e.seq, e.text) for e in applied.get(friend.conversation, [])]
            assert texts == [(entry.seq, entry.text) for entry in log]
        log = self.harness.log(self.group)
        applied_in_group = client.applied.get(self.group, [])
        for entry in applied_in_group:
            assert (entry.text, entry.kind) == (log[entry.seq - 1].text, log[entry.seq - 1].kind)
        for before, after in itertools.pairwise(applied_in_group):
            away = client.name == "cyd" == after.from_.name and after.kind == "joined"
            assert after.seq == before.seq + 1 or (away and after.seq > before.seq)
        if self.group in roster.groups:
            assert applied_in_group[-1].seq == len(log)

    def _check_logs(self) -> None:
        """The texts of a device to one target are in the log once, in the order they were sent."""
        for device, client in enumerate(self.clients):
            for to in (*NAMES, "all"):
                said = [
                    text
                    for target, text, ref in self.said[device]
                    if target == to and isinstance(client.outcomes[ref][0], notices.SendSettled)
                ]
                if not said:
                    continue
                friend = client.session.roster.find_friend(to)
                log = self.harness.log(friend.conversation if friend else self.group)
                assert [entry.text for entry in log if entry.text in said] == said


ContractMachine.TestCase.settings = settings(
    max_examples=45,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestContract = ContractMachine.TestCase
