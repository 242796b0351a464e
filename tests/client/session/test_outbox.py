"""The outbox by itself: order per target, one in flight, nothing lost; and the read marks."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chat.client.session.outbox import Item, Outbox, Target
from chat.client.session.read_marks import Marks

TARGETS: tuple[Target, ...] = (("user", 2), ("name", "bob"), ("group", 2), ("user", 3))


class OutboxModel(RuleBasedStateMachine):
    """“bob” turns out to be user 2, at some time or never."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox("key")
        self.now_ms = 0
        self.waiting: list[Item] = []
        self.flying: list[Item] = []
        self.settled: list[str] = []
        self.known = False

    def same(self, target: Target) -> Target:
        return ("user", 2) if self.known and target == ("name", "bob") else target

    @rule(whom=st.sampled_from(TARGETS))
    def add(self, whom: Target) -> None:
        target = self.same(whom)
        item = self.outbox.add(0, target, target[1], "text")
        self.waiting.append(item)

    @rule(most=st.integers(1, 3))
    def take(self, most: int) -> None:
        for item in self.outbox.take(self.now_ms, most):
            earlier = [other for other in self.waiting if other.number < item.number]
            assert all(other.target != item.target for other in earlier)
            assert all(other.target != item.target for other in self.flying)
            assert item.retry_at_ms <= self.now_ms
            self.waiting.remove(item)
            self.flying.append(item)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.flying))
        assert self.outbox.settle(item)
        assert not self.outbox.settle(item)
        self.flying.remove(item)
        self.settled.append(item.key)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), wait_ms=st.integers(1, 5), everything=st.booleans())
    def postpone(self, data: st.DataObject, wait_ms: int, everything: bool) -> None:
        item = data.draw(st.sampled_from(self.flying))
        self.outbox.postpone(item, self.now_ms + wait_ms, everything=everything)
        self.flying.remove(item)
        self.waiting.append(item)

    @rule()
    def lose(self) -> None:
        self.outbox.connection_lost()
        self.waiting += self.flying
        self.flying = []

    @precondition(lambda self: not self.flying)
    @rule()
    def resolve(self) -> None:
        """While something flies, both queues may have one in flight; that is let land first."""
        self.known = True
        self.outbox.resolve("Bob", 2)

    @rule(ms=st.integers(1, 4))
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @invariant()
    def everything_is_somewhere_once(self) -> None:
        keys = [item.key for item in (*self.waiting, *self.flying)]
        assert sorted(keys) == sorted(self.outbox.items)
        assert len({*keys, *self.settled}) == len(keys) + len(self.settled)

    def teardown(self) -> None:
        """With time everything goes out, and each target's in order."""
        for item in list(self.flying):
            self.outbox.settle(item)
        order: list[Item] = []
        for _ in range(len(self.waiting) * 10 + 10):
            for item in self.outbox.take(self.now_ms, 64):
                self.outbox.settle(item)
                order.append(item)
            self.now_ms = self.outbox.next_deadline_ms(self.now_ms) or self.now_ms
        assert not len(self.outbox)
        for target in TARGETS:
            numbers = [item.number for item in order if item.target == target]
            assert numbers == sorted(numbers)


OutboxModel.TestCase.settings = settings(max_examples=60, deadline=None)
TestOutbox = OutboxModel.TestCase


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["show", "learn", "answer", "lose", "refuse"]),
            st.integers(1, 30),
            st.integers(0, 700),
        )
    )
)
def test_marks_grow_one_at_a_time_and_not_too_often(
    steps: list[tuple[str, int, int]],
) -> None:
    marks, now_ms, shown = Marks(500), 0, 0
    said: list[tuple[int, int]] = []
    waits = False
    for step, seq, ms in steps:
        now_ms += ms
        match step:
            case "show":
                marks.show(7, seq)
                shown = max(shown, seq)
            case "learn":
                marks.learn(7, seq)
            case "answer" if waits:
                marks.answered(7, said[-1][1])
                waits = False
            case "refuse" if waits:
                marks.refused(7, now_ms + 100)
                waits = False
            case "lose":
                marks.connection_lost()
                waits = False
        for conversation, mark in marks.take(now_ms):
            assert conversation == 7
            assert not waits
            assert mark == shown
            if step != "refuse" and said:
                assert mark >= said[-1][1]
            said.append((now_ms, mark))
            waits = True
        deadline_ms = marks.next_deadline_ms(now_ms)
        assert deadline_ms is None or now_ms < deadline_ms <= now_ms + 500


def test_marks_that_are_known_or_not_ones_own_are_not_said() -> None:
    marks = Marks(500)
    marks.show(7, 5)
    marks.learn(7, 6)
    assert marks.take(0) == []
    marks.show(7, 8)
    assert marks.take(0) == [(7, 8)]
    assert marks.take(1_000) == []
    marks.show(7, 9)
    assert marks.take(1_000, all_now=True) == [(7, 9)]
    marks.refused(7, None)
    assert marks.take(5_000) == []
