"""A bug that comes out at one of many takes nothing from the others."""

from unittest.mock import patch

from chat.core import events as ev
from chat.core import operations as op
from chat.core.effects import AnyEffect, Close, Deliver
from chat.core.session import Session
from tests.core.house import House


def test_a_bug_in_one_answer_takes_nothing_from_those_that_came_with_it() -> None:
    house = House()
    house.register("ann", "bob", "cyd")
    for pair in (("ann", "bob"), ("bob", "cyd"), ("ann", "cyd")):
        house.friends(*pair)
    ann, bob, cyd = house.login("ann"), house.login("bob"), house.login("cyd")
    house.hold_answers = lambda asked: isinstance(asked, op.Append)
    for peer, to in ((ann, "bob"), (bob, "cyd"), (cyd, "ann")):
        peer.ask("chat", to=to, text="hello", key=to)
    house.run()
    answers = [(ticket, house.answer(asked)) for _, ticket, asked in house.held]
    answers[1] = answers[1][0], op.Done()
    host = house.nodes[0]
    for effect in host.node.handle(ev.Answers(tuple(answers)), house.now_ms):
        house.carry_out(host, effect)
    (bug,) = host.node.take_bugs()
    assert isinstance(bug, AssertionError)
    assert not host.node.take_bugs()
    assert [len(peer.pushes("sent")) for peer in (ann, bob, cyd)] == [1, 0, 1]
    assert [len(peer.pushes("message")) for peer in (ann, bob, cyd)] == [1, 1, 0]


def test_a_bug_at_one_session_takes_nothing_from_those_looked_at_with_it() -> None:
    house = House()
    house.register("ann", "bob", "cyd")
    ann, bob, cyd = house.login("ann"), house.login("bob"), house.login("cyd")
    node = house.nodes[0].node
    check = node._watch._check

    def faulty(session: Session) -> bool:
        if session.connection == bob.connection:
            raise RuntimeError("a bug")
        return check(session)

    start_ms, now_ms = house.now_ms, house.now_ms
    effects: list[AnyEffect] = []
    bugs = []
    with patch.object(node._watch, "_check", faulty):
        while now_ms < start_ms + 60_000:
            due_ms = node.next_deadline_ms()
            assert due_ms is not None
            now_ms = max(now_ms, due_ms)
            effects += node.handle(ev.Tick(), now_ms)
            bugs += node.take_bugs()
    assert len(bugs) == 1
    both = (ann.connection, cyd.connection)
    assert [effect.connections for effect in effects if isinstance(effect, Deliver)] == [both]
    assert tuple(effect.connection for effect in effects if isinstance(effect, Close)) == both
