"""Operations go out a few at a time, in turns by payer."""

from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.core.ports import effects as fx
from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.state.config import NodeConfig
from chat.core.state.context import Context
from chat.core.state.operation_queues import UnderWayLimits, payer_of
from chat.core.state.session import Session
from chat.protocol.errors import ErrorCode
from tests.core.node_harness import NodeHarness, Peer

LIMITS = UnderWayLimits(appends=3, writes=1, reads=2, history=1, accounts=2)
CONFIG = NodeConfig(password_hashes=2, logins_per_second=4, login_burst=3)
OPERATIONS: dict[str, op.AnyOperation] = {
    "append": op.Append(1, None, 1, "text", "key", 0),
    "write": op.CreateGroup(1, "name", "", 0),
    "read": op.ReadProfile(1),
    "history": op.ReadHistory(1, 1, None, None, 10),
    "account": op.FindAccount("ann"),
    "password": op.HashPassword("secret"),
}
MOST = {"append": 3, "write": 1, "read": 2, "history": 1, "account": 2, "password": 2}


class Desk:
    """A context of its own, whose queries are answered by hand."""

    def __init__(self) -> None:
        self.context = Context(CONFIG, LIMITS)
        self.context.now_ms = 1_000
        self.sessions = [Session(number, f"10.0.0.{number}", 0) for number in range(4)]
        self.asked: list[tuple[str, int]] = []
        """Kind and session of each operation, in the order of asking."""
        self.answered: list[int] = []
        """What was answered, as a place in `asked`."""
        self.under_way: dict[str, deque[int]] = {kind: deque() for kind in MOST}
        """By kind: tickets that are out and not answered."""

    def ask(self, kind: str, session: int) -> None:
        number = len(self.asked)
        self.asked.append((kind, session))
        self.context.query(
            OPERATIONS[kind],
            lambda outcome: self.answered.append(number),
            self.sessions[session],
        )
        self.collect()

    def answer(self, kind: str) -> bool:
        if not self.under_way[kind]:
            return False
        self.context.settle(self.under_way[kind].popleft(), op.Refused(ErrorCode.UNAVAILABLE))
        self.collect()
        return True

    def pass_time(self, ms: int) -> None:
        self.context.now_ms += ms
        while (due := self.context.deadlines.pop_due(self.context.now_ms)) is not None:
            due()
        self.collect()

    def collect(self) -> None:
        """Takes over the queries that went out."""
        for effect in self.context.effects:
            assert isinstance(effect, fx.Query)
            kind = next(kind for kind, one in OPERATIONS.items() if one is effect.operation)
            self.under_way[kind].append(effect.ticket)
        self.context.effects.clear()

    def waiting(self, kind: str) -> int:
        return len(self.context.queues.by_type[type(OPERATIONS[kind])].waiting)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from(sorted(MOST)), st.integers(0, 3)),
            st.tuples(st.just("answer"), st.sampled_from(sorted(MOST)), st.just(0)),
            st.tuples(st.just("time"), st.just(""), st.integers(1, 2_000)),
        ),
        max_size=120,
    )
)
def test_no_more_are_under_way_than_the_limit_and_none_waits_without_need(
    story: list[tuple[str, str, int]],
) -> None:
    desk = Desk()
    for what, kind, number in story:
        if what == "ask":
            desk.ask(kind, number)
        elif what == "answer":
            desk.answer(kind)
        else:
            desk.pass_time(number)
        for one, most in MOST.items():
            queue = desk.context.queues.by_type[type(OPERATIONS[one])]
            assert queue.under_way == len(desk.under_way[one]) <= most
            if one != "password":
                assert not desk.waiting(one) or len(desk.under_way[one]) == most
        assert len(desk.context.queues) == sum(desk.waiting(one) for one in MOST)
    for _ in range(3 * len(story)):
        desk.pass_time(250)
        while any(desk.answer(one) for one in MOST):
            pass
    assert sorted(desk.answered) == list(range(len(desk.asked))), "each was answered once"
    assert not desk.context.continuations
    assert not len(desk.context.queues)


@pytest.mark.parametrize("kind", sorted(MOST))
def test_a_flood_waits_behind_itself(kind: str) -> None:
    desk = Desk()
    for _ in range(20):
        desk.ask(kind, 0)
    for session in (1, 2):
        desk.ask(kind, session)
    # What is out already goes first, then one of the flood at most before each of the others.
    for _ in range(MOST[kind] + 4):
        desk.answer(kind)
        desk.pass_time(250)
    assert {20, 21} <= set(desk.answered)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=60))
def test_an_address_gets_no_more_passwords_than_its_budget_and_no_later_than_it_may(
    story: list[tuple[int, int]],
) -> None:
    """The hasher answers at once; so a password waits for nothing but the budget. Each goes out at
    the time at which a bucket of tokens has one for it."""
    desk, now_ms = Desk(), 1_000
    arrivals: dict[int, list[int]] = {}
    wanted: list[tuple[int, int]] = []
    full_at_ms = dict.fromkeys(range(4), 0)
    for pause_ms, session in story:
        now_ms += pause_ms
        arrivals.setdefault(now_ms, []).append(session)
        full_at_ms[session] = max(full_at_ms[session], now_ms) + 250
        wanted.append((max(now_ms, full_at_ms[session] - 3 * 250), session))
    times = {*arrivals, *(at_ms for at_ms, _ in wanted), *(at_ms - 1 for at_ms, _ in wanted)}
    for at_ms in sorted(times):
        desk.pass_time(max(0, at_ms - desk.context.now_ms))
        while desk.answer("password"):
            pass
        for session in arrivals.get(at_ms, []):
            desk.ask("password", session)
            desk.answer("password")
        out = Counter(desk.asked[number][1] for number in desk.answered)
        assert out == Counter(session for when, session in wanted if when <= at_ms)


def test_the_first_of_two_budgets_to_be_due_is_waited_for() -> None:
    """One address is in want of a password for long, when another one begins to wait for less."""
    desk = Desk()
    for _ in range(3):
        desk.ask("password", 1)
        desk.answer("password")
    desk.pass_time(200)
    for session in (0, 0, 0, 0):
        desk.ask("password", session)
        desk.answer("password")
    assert desk.waiting("password") == 1
    desk.ask("password", 1)
    assert desk.waiting("password") == 2
    desk.pass_time(50)
    assert desk.waiting("password") == 1
    desk.answer("password")
    assert desk.asked[desk.answered[-1]] == ("password", 1)


def test_a_password_of_a_connection_that_ended_is_checked_no_more() -> None:
    desk = Desk()
    for session in (0, 0, 1, 2, 3):
        desk.ask("password", session)
    assert desk.waiting("password") == 3
    for session in (1, 2, 0, 3):
        desk.context.withdraw(desk.sessions[session])
    desk.collect()
    assert desk.answered == [2, 3, 4], "what was withdrawn has its outcome"
    assert not desk.waiting("password")
    assert len(desk.under_way["password"]) == 2
    while desk.answer("password"):
        pass
    assert not desk.context.continuations


def test_a_payer_is_the_user_or_else_the_address() -> None:
    harness = NodeHarness()
    (ann,) = harness.register("ann")
    new, logged_in = harness.connect(), harness.login("ann")
    node = harness.nodes[0].node
    assert payer_of(node.session(new.connection)) == "10.0.0.1"
    assert payer_of(node.session(logged_in.connection)) == ann
    assert payer_of(None) == 0


def flood(harness: NodeHarness, peers: list[Peer], type: str, **fields: object) -> None:
    for peer in peers:
        peer.ask(type, **fields)
    harness.run()


@pytest.mark.parametrize(
    ("type", "fields", "operation"),
    [
        ("create_group", {"name": "den"}, op.CreateGroup),
        ("history", {"conversation": 1}, op.ReadHistory),
        ("profile", {}, op.ReadProfile),
    ],
)
def test_a_users_connections_share_one_turn(
    type: str, fields: dict[str, object], operation: type[op.AnyOperation]
) -> None:
    """One user asks on forty connections; what another one asks then is the next but one at most
    after what is with the store."""
    harness = NodeHarness(connections_per_device=1_000, cost_burst=10_000)
    harness.register("ann", "bob")
    anns, bob = [harness.login("ann") for _ in range(40)], harness.login("bob")
    harness.hold_answers = lambda asked: isinstance(asked, operation)
    flood(harness, anns * 2, type, **fields)
    before = len(harness.held)
    flood(harness, [bob], type, **fields)
    for _ in range(before + 2):
        host, ticket, asked = harness.held.popleft()
        host.feed(ev.Answer(ticket, harness.answer(asked)))
        harness.pass_time(1)  # Pages of history are read one at a time, with pauses.
    assert any(line.get("re") == bob.next_id for line in bob.got)
