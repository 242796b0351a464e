"""A bug that comes out at one of many takes nothing from the others."""

from functools import partial
from unittest.mock import patch

from chat.core.ports import events as ev
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect, Close, Deliver
from chat.core.state.config import NodeConfig
from chat.core.state.session import Session
from chat.protocol.messages import PingRequest
from tests.core.node_harness import NodeHarness, ping


def test_a_bug_in_one_answer_takes_nothing_from_those_that_came_with_it() -> None:
    harness = NodeHarness()
    harness.register("ann", "bob", "cyd")
    for pair in (("ann", "bob"), ("bob", "cyd"), ("ann", "cyd")):
        harness.friends(*pair)
    ann, bob, cyd = harness.login("ann"), harness.login("bob"), harness.login("cyd")
    harness.hold_answers = lambda asked: isinstance(asked, op.Append)
    for peer, to in ((ann, "bob"), (bob, "cyd"), (cyd, "ann")):
        peer.ask("chat", to=to, text="hello", key=to)
    harness.run()
    answers = [(ticket, harness.answer(asked)) for _, ticket, asked in harness.held]
    answers[1] = answers[1][0], op.Done()
    host = harness.nodes[0]
    (bug,) = host.handle(ev.Answers(tuple(answers)))
    assert isinstance(bug, AssertionError)
    assert not host.node.take_internal_errors()
    assert [len(peer.pushes("sent")) for peer in (ann, bob, cyd)] == [1, 0, 1]
    assert [len(peer.pushes("message")) for peer in (ann, bob, cyd)] == [1, 1, 0]


def test_a_bug_at_one_session_takes_nothing_from_those_looked_at_with_it() -> None:
    harness = NodeHarness()
    harness.register("ann", "bob", "cyd")
    ann, bob, cyd = harness.login("ann"), harness.login("bob"), harness.login("cyd")
    node = harness.nodes[0].node
    check = node._timers._check_session

    def faulty(session: Session) -> bool:
        if session.connection == bob.connection:
            raise RuntimeError("a bug")
        return check(session)

    start_ms, now_ms = harness.now_ms, harness.now_ms
    effects: list[AnyEffect] = []
    bugs = []
    with patch.object(node._timers, "_check_session", faulty):
        while now_ms < start_ms + 60_000:
            due_ms = node.next_deadline_ms()
            assert due_ms is not None
            now_ms = max(now_ms, due_ms)
            effects += node.handle(ev.Tick(), now_ms)
            bugs += node.take_internal_errors()
    assert len(bugs) == 1
    both = (ann.connection, cyd.connection)
    assert [effect.connections for effect in effects if isinstance(effect, Deliver)] == [both]
    assert tuple(effect.connection for effect in effects if isinstance(effect, Close)) == both


def test_a_bug_in_a_request_that_waited_for_an_answer_takes_nothing_from_other_answers() -> None:
    harness = NodeHarness()
    harness.register("ann", "bob")
    ann, bob = harness.login("ann"), harness.login("bob")
    harness.hold_answers = lambda asked: isinstance(asked, op.ReadProfile)
    for peer in (ann, bob):
        peer.ask("profile")
        peer.ask("ping")
    harness.run()
    answers = [(ticket, harness.answer(asked)) for _, ticket, asked in harness.held]
    host = harness.nodes[0]
    handlers = host.node._scheduler._handlers
    input, take, cost = handlers[PingRequest]

    def faulty(session: Session, request: PingRequest) -> None:
        if session.connection == ann.connection:
            raise RuntimeError("a bug")
        take(session, request)

    with patch.dict(handlers, {PingRequest: (input, faulty, cost)}):
        assert len(host.handle(ev.Answers(tuple(answers)))) == 1
    harness.run()
    assert [len(peer.pushes("profile")) for peer in (ann, bob)] == [1, 1]
    assert [len(peer.pushes("pong")) for peer in (ann, bob)] == [0, 1]
    assert ann.closed and not bob.closed


def test_a_bug_at_a_deadline_takes_nothing_from_those_whose_turn_it_is() -> None:
    harness = NodeHarness()
    harness.register("ann")
    ann = harness.login("ann")
    count = 3 * NodeConfig().request_quantum
    ann.write(b"".join(ping(id) for id in range(count)))
    harness.run()
    host = harness.nodes[0]
    with patch.object(host.node._presence, "flap_over", side_effect=RuntimeError("a bug")):
        host.node._context.deadlines.set(harness.now_ms, partial(host.node._presence.flap_over, 1))
        assert len(host.handle(ev.Tick())) == 1
    harness.pass_time(0)
    assert [pong["re"] for pong in ann.pushes("pong")] == list(range(count))
