"""Turns by payer."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from chat.core.state.fair_queue import FairQueue

payers = st.integers(1, 5)
"""Few, so that the same payer comes again."""


def test_a_payer_with_much_waits_behind_itself() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for item in range(100):
        queue.put("flood", item)
    queue.put("ann", 100)
    queue.put("bob", 101)
    assert [queue.take() for _ in range(5)] == [0, 100, 101, 1, 2]


@given(st.lists(st.one_of(payers, st.just(0)), max_size=200))
def test_no_payer_is_served_twice_while_another_waits(story: list[int]) -> None:
    """0 takes an item; another number puts one for that payer."""
    queue: FairQueue[int, tuple[int, int]] = FairQueue()
    waiting: dict[int, deque[tuple[int, int]]] = {}
    served: dict[int, set[int]] = {}
    for step, payer in enumerate(story):
        if payer:
            queue.put(payer, (payer, step))
            waiting.setdefault(payer, deque()).append((payer, step))
            served.setdefault(payer, set())
        elif waiting:
            assert queue.next_payer() in waiting
            item = queue.take()
            assert item == waiting[item[0]].popleft(), "a payer's items keep their order"
            del served[item[0]]
            for others in served.values():
                assert item[0] not in others
                others.add(item[0])
            if waiting[item[0]]:
                served[item[0]] = set()
            else:
                del waiting[item[0]]
        assert len(queue) == sum(map(len, waiting.values()))
        assert {one: list(items) for one, items in queue.turns.items()} == {
            one: list(items) for one, items in waiting.items()
        }


@given(st.lists(payers, min_size=1, max_size=30), st.data())
def test_what_is_removed_is_taken_no_more_and_the_rest_keeps_its_order(
    payers: list[int], data: st.DataObject
) -> None:
    queue: FairQueue[int, int] = FairQueue()
    for item, payer in enumerate(payers):
        queue.put(payer, item)
    gone = data.draw(st.sampled_from(range(len(payers))))
    assert queue.remove(payers[gone], lambda item: item == gone) == gone
    assert queue.remove(payers[gone], lambda item: item == gone) is None
    assert len(queue) == len(payers) - 1
    taken = [queue.take() for _ in range(len(queue))]
    assert sorted(taken) == [item for item in range(len(payers)) if item != gone]
    for payer in set(payers):
        own = [item for item in taken if payers[item] == payer]
        assert own == sorted(own)
    assert not queue.turns


def test_nothing_is_removed_for_a_payer_that_has_nothing() -> None:
    queue: FairQueue[int, int] = FairQueue()
    queue.put(1, 1)
    assert queue.remove(2, lambda item: True) is None
    assert len(queue) == 1


def test_a_payer_that_is_passed_over_has_the_last_turn() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for item, payer in enumerate(("ann", "bob", "cyd")):
        queue.put(payer, item)
    queue.pass_over()
    assert [queue.take() for _ in range(3)] == [1, 2, 0]
