"""Positions on a log: whatever the bus does, everyone is handed each seq once, in order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chat.core.state.conversation import Conversation

PAGE = 3
USERS = 3
"""A connection is of the user whom its number leaves when it is divided by this."""


class Positions(RuleBasedStateMachine):
    """A log that grows, hints of it that are lost, repeated and reordered, readers that come and
    go, and pages of the log that arrive whenever they like."""

    @initialize(length=st.integers(0, 5))
    def begin(self, length: int) -> None:
        self.conversation = Conversation(1)
        self.log_length = length
        self.conversation.learn(length)
        self.hints: list[int] = []
        self.reads: list[int] = []
        self.started: dict[int, int] = {}
        self.served: dict[int, list[int]] = {}
        self.held: set[int] = set()
        self.next_connection = 1

    @rule(told=st.integers(0, 3))
    def append(self, told: int) -> None:
        self.log_length += 1
        self.hints += [self.log_length] * told

    @precondition(lambda self: self.hints)
    @rule(data=st.data(), again=st.booleans())
    def hint(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.hints) - 1))
        seq = self.hints[place] if again else self.hints.pop(place)
        self.hear(seq)

    @precondition(lambda self: self.hints)
    @rule()
    def lose_hints(self) -> None:
        self.hints.clear()

    def connections_of(self, user: int) -> list[int]:
        return [connection for connection in self.served if connection % USERS == user]

    def hear(self, seq: int) -> None:
        if seq == self.conversation.head + 1:
            user = seq % USERS
            own, others = self.conversation.audience(user, self.connections_of(user))
            assert set(own) == set(self.connections_of(user)) & set(self.conversation.live)
            for connection in (*own, *others):
                self.served[connection].append(seq)
            self.conversation.grow()
        else:
            self.conversation.learn(seq)
        self.reads += self.conversation.demand()

    @rule()
    def sweep(self) -> None:
        self.conversation.learn(self.log_length)
        self.reads += self.conversation.demand()

    @precondition(lambda self: self.reads)
    @rule(data=st.data(), fails=st.booleans())
    def page_arrives(self, data: st.DataObject, fails: bool) -> None:
        after = self.reads.pop(data.draw(st.integers(0, len(self.reads) - 1)))
        self.page(after, fails)

    def page(self, after: int, fails: bool = False) -> None:
        cohort = self.conversation.cohort(after)
        if not fails:
            last = min(after + PAGE, self.log_length)
            self.conversation.learn(self.log_length)
            for connection in cohort:
                self.served[connection] += range(after + 1, last + 1)
                self.conversation.advance(connection, last)
        self.reads += self.conversation.demand()

    @rule(back=st.integers(0, 8), held=st.booleans())
    def attach(self, back: int, held: bool) -> None:
        cursor = max(0, self.conversation.head - back)
        self.conversation.attach(self.next_connection, cursor, held=held)
        if held:
            self.held.add(self.next_connection)
        self.started[self.next_connection] = cursor
        self.served[self.next_connection] = []
        self.next_connection += 1
        self.reads += self.conversation.demand()

    @precondition(lambda self: self.served)
    @rule(data=st.data(), what=st.sampled_from(["detach", "hold", "release"]))
    def change(self, data: st.DataObject, what: str) -> None:
        connection = data.draw(st.sampled_from(sorted(self.served)))
        if what == "detach":
            self.conversation.detach(connection)
            self.held.discard(connection)
            del self.served[connection]
        elif what == "hold":
            self.conversation.hold(connection)
            self.held.add(connection)
        else:
            self.conversation.release(connection)
            self.held.discard(connection)
        self.reads += self.conversation.demand()

    @invariant()
    def everyone_has_a_run_without_gap_or_repeat(self) -> None:
        for connection, served in self.served.items():
            start = self.started[connection]
            assert served == list(range(start + 1, start + 1 + len(served)))
            assert self.conversation.position(connection) == start + len(served)

    @invariant()
    def live_means_at_the_head_and_not_held(self) -> None:
        conversation = self.conversation
        assert conversation.head <= self.log_length
        for user in range(USERS):
            own, others = conversation.audience(user, self.connections_of(user))
            assert {*own, *others} == set(conversation.live)
            assert len(own) + len(others) == len(conversation.live)
        for connection in self.served:
            live = connection in conversation.live
            at_head = conversation.position(connection) == conversation.head
            assert live == (at_head and connection not in self.held)
        assert len(self.reads) == len(set(self.reads))

    def teardown(self) -> None:
        if not hasattr(self, "served"):
            return
        for connection in list(self.held):
            self.conversation.release(connection)
        self.held.clear()
        self.sweep()
        for _ in range(1000):
            if not self.reads:
                break
            self.page(self.reads.pop())
        assert not self.reads
        for connection in self.served:
            assert self.conversation.position(connection) == self.log_length


Positions.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPositions = Positions.TestCase


def test_a_gap_is_one_read_for_everyone_who_was_live() -> None:
    conversation = Conversation(1)
    conversation.learn(7)
    for connection in range(100):
        conversation.attach(connection, 7)
    conversation.learn(9)
    assert conversation.audience(1, range(100)) == ((), ())
    assert conversation.demand() == [7]
    assert conversation.demand() == []
    assert len(conversation.cohort(7)) == 100


def test_a_read_serves_only_those_who_still_stand_where_it_began() -> None:
    conversation = Conversation(1)
    conversation.learn(5)
    conversation.attach(1, 2)
    conversation.attach(2, 2)
    assert conversation.demand() == [2]
    conversation.detach(1)
    conversation.attach(1, 4)
    assert conversation.cohort(2) == [2]
