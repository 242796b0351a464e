"""Which operations share a transaction, and which may be run again."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports.operations import Append, Block, MarkRead, ReadRoster, StoreOperation
from chat.storage.append.batch import MAX_BATCH
from chat.storage.group_commit import (
    Job,
    admits_appends,
    is_repeatable,
    split_reads,
    take_transaction,
)
from tests.storage.stores import say

TEXT, BLOCK, READ = say(1, 2), Block(1, 2), ReadRoster(1)
writes: st.SearchStrategy[StoreOperation] = st.sampled_from((TEXT, TEXT, TEXT, BLOCK))


def numbered(operations: Sequence[StoreOperation]) -> list[Job]:
    return list(enumerate(operations))


@given(st.lists(writes))
def test_transactions_are_the_queue_in_its_order(operations: list[StoreOperation]) -> None:
    queue = deque(numbered(operations))
    taken: list[list[Job]] = []
    while queue:
        taken.append(take_transaction(queue))
    assert [job for jobs in taken for job in jobs] == numbered(operations)
    for jobs in taken:
        assert len(jobs) == 1 or all(isinstance(operation, Append) for _, operation in jobs)
    for jobs, following in pairwise(taken):
        assert not (isinstance(jobs[0][1], Append) and isinstance(following[0][1], Append))


def test_a_transaction_has_no_more_than_a_batch_of_appends() -> None:
    queue = deque(numbered([TEXT] * (2 * MAX_BATCH + 3)))
    assert [len(take_transaction(queue)) for _ in range(3)] == [MAX_BATCH, MAX_BATCH, 3]


def test_an_append_that_comes_now_shares_the_next_transaction_or_not() -> None:
    assert admits_appends(deque())
    assert admits_appends(deque(numbered([TEXT, TEXT])))
    assert not admits_appends(deque(numbered([TEXT, BLOCK])))
    assert admits_appends(deque(numbered([TEXT] * MAX_BATCH + [BLOCK])))


@given(st.lists(st.sampled_from((TEXT, BLOCK, READ))))
def test_reads_and_writes_keep_their_order(operations: list[StoreOperation]) -> None:
    jobs = numbered(operations)
    reads, rest = split_reads(jobs)
    assert list(reads) == [job for job in jobs if job[1] is READ]
    assert list(rest) == [job for job in jobs if job[1] is not READ]


def test_what_may_be_run_again_though_it_may_be_committed() -> None:
    assert is_repeatable(TEXT)
    assert is_repeatable(READ)
    assert not is_repeatable(BLOCK)
    assert not is_repeatable(MarkRead(1, 1, 1))
