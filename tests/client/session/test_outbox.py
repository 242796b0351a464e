"""The outbox by itself: order per target, one in flight, nothing lost."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chat.client.session.outbox import Outbox, PendingSend, Target

TARGETS: tuple[Target, ...] = (("user", 2), ("name", "bob"), ("group", 2), ("user", 3))


class OutboxModel(RuleBasedStateMachine):
    """“bob” turns out to be user 2, at some time or never."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox("key", lambda notice: None)
        self.now_ms = 0
        self.waiting: list[PendingSend] = []
        self.in_flight: list[PendingSend] = []
        self.settled: list[str] = []
        self.known = False

    def resolved(self, target: Target) -> Target:
        return ("user", 2) if self.known and target == ("name", "bob") else target

    @rule(to=st.sampled_from(TARGETS))
    def add(self, to: Target) -> None:
        target = self.resolved(to)
        item = self.outbox.add(0, target, target[1], "text")
        self.waiting.append(item)

    @rule(most=st.integers(1, 3))
    def take(self, most: int) -> None:
        for item in self.outbox.take(self.now_ms, most):
            earlier = [other for other in self.waiting if other.number < item.number]
            assert all(other.target != item.target for other in earlier)
            assert all(other.target != item.target for other in self.in_flight)
            assert item.retry_at_ms <= self.now_ms
            self.waiting.remove(item)
            self.in_flight.append(item)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.in_flight))
        assert self.outbox.settle(item)
        assert not self.outbox.settle(item)
        self.in_flight.remove(item)
        self.settled.append(item.key)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), wait_ms=st.integers(1, 5), everything=st.booleans())
    def postpone(self, data: st.DataObject, wait_ms: int, everything: bool) -> None:
        item = data.draw(st.sampled_from(self.in_flight))
        self.outbox.postpone(item, self.now_ms + wait_ms, everything=everything)
        self.in_flight.remove(item)
        self.waiting.append(item)

    @rule()
    def lose(self) -> None:
        self.outbox.connection_lost()
        self.waiting += self.in_flight
        self.in_flight = []

    @precondition(lambda self: not self.in_flight)
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
        keys = [item.key for item in (*self.waiting, *self.in_flight)]
        assert sorted(keys) == sorted(self.outbox.items)
        assert len({*keys, *self.settled}) == len(keys) + len(self.settled)

    def teardown(self) -> None:
        """With time everything goes out, and each target's in order."""
        for item in list(self.in_flight):
            self.outbox.settle(item)
        order: list[PendingSend] = []
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
