"""Hypothesis writes the stories: any load with any faults, then healing, then everything converges.

There is a rule for each action of a user and for each kind of fault. A failure shrinks to a short
story and is printed as a command to paste into a shell; put into tests/sim/stories it stays a test.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sim.faults.injectors import INJECTORS
from sim.story import RATES, Story

USERS = ("ann", "bob", "cyd")
NODES = ("node-1", "node-2")
NOISE = (
    "hello",
    '{"type": "ping", "id": 1}',
    '{"type": "login", "id": 1, "user": "ann", "password": "a wrong one"}',
    '{"type": "resume", "id": 1, "token": "00", "cursors": {"1": 9}}',
    '{"type": "chat", "id": 1, "to": "ann", "text": "hello", "key": "ann-1-1"}',
    "{" * 200,
)
users, nodes = st.sampled_from(USERS), st.sampled_from(NODES)


class Clusters(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.story = Story()
        self.is_over = False
        self.texts = 0
        self.devices: list[str] = []
        self.do(f"people {' '.join(USERS)}")

    def do(self, line: str) -> None:
        try:
            self.story.do(line)
        except Exception as error:
            self.is_over = True
            error.add_note(f"To see it again, paste this into a shell:\n\n{self.story.program()}\n")
            raise

    def device(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.devices))

    def text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    # ------------------------------------------------------------------ load

    @precondition(lambda self: len(self.devices) < 6)
    @rule(user=users, node=nodes)
    def on(self, user: str, node: str) -> None:
        self.do(f"{user} on {node}")
        self.devices = [device.name for device in self.story.cluster.devices]

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), user=users, count=st.integers(1, 4))
    def send_text(self, data: st.DataObject, user: str, count: int) -> None:
        device = self.device(data)
        for _ in range(count):
            to = "all" if device.startswith(user) else user
            self.do(f"{device} says {to}: {self.text()}")

    @precondition(lambda self: self.devices)
    @rule(
        data=st.data(),
        what=st.sampled_from(["joins", "leaves", "ends", "looks", "sleeps", "wakes"]),
    )
    def join_leave_or_sleep(self, data: st.DataObject, what: str) -> None:
        self.do(f"{self.device(data)} {what}")

    @precondition(lambda self: self.devices)
    @rule(
        data=st.data(),
        what=st.sampled_from(["befriends", "unfriends", "blocks", "unblocks"]),
        user=users,
    )
    def change_friendship(self, data: st.DataObject, what: str, user: str) -> None:
        self.do(f"{self.device(data)} {what} {user}")

    @rule(ms=st.sampled_from([1, 5, 50, 1_000, 20_000]))
    def wait(self, ms: int) -> None:
        self.do(f"wait {ms}")

    # ------------------------------------------------------------------ faults

    @precondition(lambda self: self.devices)
    @rule(
        data=st.data(),
        how=st.sampled_from(
            ["reset", "half-open", "half-open node of", "stop", "go", "slow", "fast"]
        ),
    )
    def connection(self, data: st.DataObject, how: str) -> None:
        self.do(f"{how} {self.device(data)}")

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), up=st.booleans(), count=st.integers(1, 120))
    def break_off(self, data: st.DataObject, up: bool, count: int) -> None:
        self.do(f"break {'node of ' if up else ''}{self.device(data)} after {count}")

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), direction=st.sampled_from(["up", "down"]))
    def stop_one_way(self, data: st.DataObject, direction: str) -> None:
        self.do(f"stop {self.device(data)} {direction}")

    @rule(how=st.sampled_from(["crash", "start", "pause", "resume", "drain"]), node=nodes)
    def node(self, how: str, node: str) -> None:
        self.do(f"{how} {node}")

    @rule(how=st.sampled_from(["stop", "start"]), which=st.sampled_from(["store", "bus"]))
    def server(self, how: str, which: str) -> None:
        self.do(f"{how} {which}")

    @rule(
        how=st.sampled_from(["cut store", "mend store", "cut bus", "mend bus", "deafen", "mute"]),
        node=nodes,
    )
    def link(self, how: str, node: str) -> None:
        self.do(f"{how} {node}")

    @rule(
        how=st.sampled_from(["lose", "keep"]),
        what=st.sampled_from(["replies", "messages"]),
    )
    def lose(self, how: str, what: str) -> None:
        self.do(f"{how} {what}")

    @rule(kind=st.sampled_from(sorted(INJECTORS)), data=st.data())
    def strike(self, kind: str, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from(["", *NODES, *self.devices]))
        self.do(f"strike {kind}{' at ' if at else ''}{at}")

    @rule(how=st.sampled_from(["begin", "end"]), kind=st.sampled_from(RATES))
    def lasting(self, how: str, kind: str) -> None:
        self.do(f"{how} {kind}")

    @rule(node=nodes, line=st.sampled_from(NOISE))
    def stranger(self, node: str, line: str) -> None:
        self.do(f"stranger on {node}: {line}")

    def teardown(self) -> None:
        if hasattr(self, "story") and not self.is_over:
            self.do("heal")


Clusters.TestCase.settings = settings(stateful_step_count=40, report_multiple_bugs=False)
TestClusters = Clusters.TestCase
