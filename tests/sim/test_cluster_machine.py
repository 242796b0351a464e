"""Hypothesis writes the stories: any life with any trouble, then healing, then all must be well.

A failure shrinks to a short story and is printed as one; put into tests/sim/stories it stays a
test.
"""

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sim.story import Story

PEOPLE = ("ann", "bob", "cyd")
NODES = ("node-1", "node-2")
nodes = st.sampled_from(NODES)


class Clusters(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.story = Story()
        self.texts = 0
        self.devices: list[str] = []
        self.do(f"people {' '.join(PEOPLE)}")

    def do(self, line: str) -> None:
        note(f"> {line}")
        self.story.do(line)

    def device(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.devices))

    def text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    # ------------------------------------------------------------------ life

    @precondition(lambda self: len(self.devices) < 6)
    @rule(user=st.sampled_from(PEOPLE), node=nodes)
    def on(self, user: str, node: str) -> None:
        self.devices.append(f"{user}-{len(self.devices) + 1}")
        self.do(f"{user} on {node}")

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), user=st.sampled_from(PEOPLE), count=st.integers(1, 4))
    def say(self, data: st.DataObject, user: str, count: int) -> None:
        device = self.device(data)
        for _ in range(count):
            to = "all" if device.startswith(user) else user
            self.do(f"{device} says {to}: {self.text()}")

    @precondition(lambda self: self.devices)
    @rule(data=st.data(), what=st.sampled_from(["joins", "leaves", "sleeps", "wakes"]))
    def come_or_go(self, data: st.DataObject, what: str) -> None:
        self.do(f"{self.device(data)} {what}")

    @rule(ms=st.sampled_from([1, 5, 50, 1_000, 20_000]))
    def wait(self, ms: int) -> None:
        self.do(f"wait {ms}")

    # ------------------------------------------------------------------ trouble

    @precondition(lambda self: self.devices)
    @rule(
        data=st.data(),
        how=st.sampled_from(
            ["reset", "half-open", "half-open node of", "stop", "go", "slow", "fast"]
        ),
    )
    def connection(self, data: st.DataObject, how: str) -> None:
        self.do(f"{how} {self.device(data)}")

    @rule(how=st.sampled_from(["crash", "start", "pause", "resume", "drain"]), node=nodes)
    def node(self, how: str, node: str) -> None:
        self.do(f"{how} {node}")

    @rule(how=st.sampled_from(["stop", "start"]), which=st.sampled_from(["store", "bus"]))
    def server(self, how: str, which: str) -> None:
        self.do(f"{how} {which}")

    @rule(
        how=st.sampled_from(["cut", "mend"]),
        which=st.sampled_from(["store", "bus"]),
        node=nodes,
    )
    def link(self, how: str, which: str, node: str) -> None:
        self.do(f"{how} {which} {node}")

    @rule(
        how=st.sampled_from(["lose", "keep"]),
        what=st.sampled_from(["replies", "envelopes"]),
    )
    def lose(self, how: str, what: str) -> None:
        self.do(f"{how} {what}")

    def teardown(self) -> None:
        if hasattr(self, "story"):
            self.do("heal")


Clusters.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, report_multiple_bugs=False
)
TestClusters = Clusters.TestCase
