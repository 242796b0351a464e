"""What a transaction that failed is answered by, and which one fails alone."""

from functools import partial

import pytest

from chat.core.ports.operations import (
    Appended,
    CommitUnknown,
    CreateUser,
    FindAccount,
    HeadsRead,
    ReadHeads,
    ReadRoster,
    RosterRead,
    StoreOutcome,
    UserCreated,
)
from chat.storage.backends.connection import in_transaction
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.retries import ATTEMPTS
from chat.storage.service import StoreService
from tests.storage.faults import Answers, Fault, FaultyStore
from tests.storage.services import ANN, BOB, CONVERSATION, hold_writer, stored, text
from tests.storage.stores import NOW_MS, refused, say

LOST = (Fault.LOST_BEFORE,)
APPEND_FATES: list[tuple[tuple[Fault, ...], StoreOutcome | None, bool]] = [
    # The faults in turn; the answer if not the seq; whether it is stored.
    ((Fault.DEADLOCK, Fault.LOCK_TIMEOUT, Fault.LOST_BEFORE), None, True),
    ((Fault.DEADLOCK,) * ATTEMPTS, refused("busy"), False),
    (LOST * ATTEMPTS, refused("unavailable"), False),
    ((Fault.LOST_COMMIT,), None, True),
    ((Fault.LOST_REPLY,), None, True),
    ((Fault.ODD_COMMIT,), None, True),
    ((Fault.LOST_REPLY, Fault.DEADLOCK, *LOST, Fault.LOST_REPLY), None, True),
    ((Fault.LOST_COMMIT, *LOST * (ATTEMPTS - 1)), CommitUnknown(), False),
    ((Fault.LOST_REPLY, Fault.UNAVAILABLE), CommitUnknown(), True),
    ((Fault.LOST_REPLY, Fault.BUG), CommitUnknown(), True),
    ((Fault.UNAVAILABLE,), refused("unavailable"), False),
    ((Fault.BUG,), refused("unavailable"), False),
    ((Fault.NULL,), refused("unavailable"), False),
]


@pytest.mark.parametrize(("faults", "answer", "is_stored"), APPEND_FATES)
def test_an_append_is_answered_by_what_is_known(
    faulty_store: FaultyStore,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
    is_stored: bool,
) -> None:
    faulty_store.plan.extend(faults)
    service.submit(1, text(1))
    (outcome,) = answers.wait_for(1)
    if answer is not None:
        assert outcome == answer
    else:
        assert isinstance(outcome, Appended)
        assert outcome.seq == 1
    assert stored(faulty_store) == ["text 1"] * is_stored
    # Whatever happened, the next one is as good as any, and a second try is safe.
    faulty_store.plan.clear()
    service.submit(2, text(1))
    service.submit(3, text(2))
    assert [o.seq for o in answers.wait_for(2, 3) if isinstance(o, Appended)] == [1, 2]


WRITE_FATES: list[tuple[tuple[Fault, ...], StoreOutcome | None, bool]] = [
    ((Fault.DEADLOCK, Fault.LOST_BEFORE), None, True),
    ((Fault.LOST_COMMIT,), CommitUnknown(), False),
    ((Fault.LOST_REPLY,), CommitUnknown(), True),
    ((Fault.ODD_COMMIT,), CommitUnknown(), True),
    ((Fault.LOCK_TIMEOUT,) * ATTEMPTS, refused("busy"), False),
    ((Fault.UNAVAILABLE,), refused("unavailable"), False),
    ((Fault.BUG,), refused("unavailable"), False),
    ((Fault.NULL,), refused("unavailable"), False),
]


@pytest.mark.parametrize(("faults", "answer", "is_stored"), WRITE_FATES)
def test_another_write_is_answered_by_what_is_known(
    faulty_store: FaultyStore,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
    is_stored: bool,
) -> None:
    faulty_store.plan.extend(faults)
    service.submit(1, CreateUser("zoe", "hash", NOW_MS))
    (outcome,) = answers.wait_for(1)
    assert outcome == answer if answer is not None else isinstance(outcome, UserCreated)
    faulty_store.plan.clear()
    service.submit(2, CreateUser("zoe", "hash", NOW_MS))
    (again,) = answers.wait_for(2)
    assert again == refused("name_taken") if is_stored else isinstance(again, UserCreated)


READ_FATES: list[tuple[tuple[Fault, ...], StoreOutcome | None]] = [
    ((Fault.DEADLOCK, Fault.LOST_BEFORE, Fault.LOST_REPLY), None),
    ((Fault.UNAVAILABLE,), refused("unavailable")),
    ((Fault.BUG,), refused("unavailable")),
]


@pytest.mark.parametrize(("faults", "answer"), READ_FATES)
def test_a_read_fails_only_if_it_must(
    faulty_store: FaultyStore,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
) -> None:
    faulty_store.read_plan.extend(faults)
    service.submit(1, ReadRoster(ANN))
    (outcome,) = answers.wait_for(1)
    assert outcome == answer if answer is not None else isinstance(outcome, RosterRead)
    service.submit(2, ReadRoster(ANN))
    (outcome,) = answers.wait_for(2)
    assert isinstance(outcome, RosterRead)


def test_the_cache_is_not_used_for_a_database_that_was_restored(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    for number in (1, 2):
        service.submit(number, text(number))
        answers.wait_for(number)
    connection = open_sqlite(faulty_store.path)
    for table in ("entries", "members", "friendships", "conversations"):
        in_transaction(connection, partial(connection.execute, f"DELETE FROM {table}"), write=True)
    connection.close()
    faulty_store.plan.append(Fault.LOST_BEFORE)
    service.submit(3, text(3))
    assert answers.wait_for(3) == [refused("not_friends")]
    assert stored(faulty_store) == []


def test_an_append_that_breaks_its_batch_fails_alone(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    hold_writer(faulty_store, service)
    unspeakable = say(ANN, BOB, "\ud800", "k2")
    for ticket, append in ((1, text(1)), (2, unspeakable), (3, text(3))):
        service.submit(ticket, append)
    faulty_store.writes_allowed.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert (first, third) == (
        Appended(CONVERSATION, 1, NOW_MS, BOB),
        Appended(CONVERSATION, 2, NOW_MS, BOB),
    )
    assert second == refused("unavailable")
    assert stored(faulty_store) == ["text 1", "text 3"]


def test_a_read_that_breaks_its_transaction_fails_alone(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    faulty_store.reads_allowed.clear()
    service.submit(0, ReadRoster(ANN))
    assert faulty_store.reader_waits.wait(20)
    service.submit_all(
        [(1, ReadRoster(ANN)), (2, FindAccount("\ud800")), (3, ReadHeads((CONVERSATION,), ()))]
    )
    faulty_store.reads_allowed.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert isinstance(first, RosterRead)
    assert second == refused("unavailable")
    assert isinstance(third, HeadsRead)
