"""The service: every ticket is answered once, in order, and says what can have been stored."""

from pathlib import Path

import pytest

from chat.core.ports.operations import (
    Appended,
    Block,
    FindAccount,
    FriendshipChanged,
    JoinGroup,
    LogRead,
    ReadHeads,
    ReadLog,
    ReadRoster,
    Refused,
    RosterRead,
    StoreOperation,
    StoreOutcome,
)
from chat.storage.errors import StoreUnavailable
from chat.storage.service import StoreService
from tests.storage.faults import Answers, Fault, FaultyStore
from tests.storage.services import ANN, BOB, CONVERSATION, CYD, hold_writer, stored, text
from tests.storage.stores import NOW_MS, refused


def test_what_waits_is_committed_together(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    hold_writer(faulty_store, service)
    for number in range(1, 601):
        service.submit(number, text(number))
    faulty_store.writes_allowed.set()
    outcomes = answers.wait_for(*range(1, 601))
    assert outcomes == [Appended(CONVERSATION, number, NOW_MS, BOB) for number in range(1, 601)]
    assert [len(call) for call in answers.calls] == [1, 256, 256, 88]
    assert faulty_store.commits == 4
    assert stored(faulty_store) == [f"text {number}" for number in range(1, 601)]


def test_appends_of_clients_just_answered_are_waited_for(
    service: StoreService, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.group_commit.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.group_commit.MAX_GATHER_S", 60.0)
    service.submit_all([(1, text(1)), (2, text(2))])
    answers.wait_for(1, 2)
    service.submit(3, text(3))
    service.submit(4, text(4))
    answers.wait_for(3, 4)
    assert [[ticket for ticket, _ in call] for call in answers.calls] == [[1, 2], [3, 4]]


def test_no_append_is_waited_for_that_was_not_expected(
    service: StoreService, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.group_commit.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.group_commit.MAX_GATHER_S", 60.0)
    for number in range(1, 4):
        service.submit(number, text(number))
        answers.wait_for(number)
    service.submit(4, Block(CYD, ANN))
    answers.wait_for(4)


def test_nothing_is_gathered_when_another_write_is_behind(
    faulty_store: FaultyStore,
    service: StoreService,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes meanwhile would go behind that write, and not into the batch."""
    monkeypatch.setattr("chat.storage.group_commit.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.group_commit.MAX_GATHER_S", 60.0)
    faulty_store.writes_allowed.clear()
    jobs: list[tuple[int, StoreOperation]] = []
    for number in range(0, 6, 2):
        jobs += [(number, text(number)), (number + 1, JoinGroup(ANN, 999, NOW_MS))]
    service.submit_all(jobs)
    faulty_store.writes_allowed.set()
    answers.wait_for(*range(6))


def test_closing_ends_the_wait_for_more(
    faulty_store: FaultyStore, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.group_commit.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.group_commit.MAX_GATHER_S", 60.0)
    service = StoreService(faulty_store.open, answers)
    service.start()
    service.submit_all([(1, text(1)), (2, text(2))])
    answers.wait_for(1, 2)
    service.submit(3, text(3))
    service.close()
    assert answers.wait_for(3) == [Appended(CONVERSATION, 3, NOW_MS, BOB)]


def test_an_append_is_decided_after_what_was_asked_before_it(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    hold_writer(faulty_store, service)
    service.submit(1, text(1))
    service.submit(2, Block(BOB, ANN))
    service.submit(3, text(2))
    faulty_store.writes_allowed.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert isinstance(first, Appended)
    assert isinstance(second, FriendshipChanged)
    assert third == refused("blocked")
    assert [[ticket for ticket, _ in call] for call in answers.calls] == [[0], [1], [2], [3]]


def test_reads_go_beside_the_writer_and_are_answered_together(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    hold_writer(faulty_store, service)
    faulty_store.reads_allowed.clear()
    service.submit(1, ReadRoster(ANN))
    assert faulty_store.reader_waits.wait(20)
    service.submit(2, FindAccount("bob"))
    service.submit(3, ReadHeads((CONVERSATION,), ()))
    service.submit(4, ReadRoster(999))
    faulty_store.reads_allowed.set()
    outcomes = answers.wait_for(1, 2, 3, 4)
    assert isinstance(outcomes[0], RosterRead)
    assert outcomes[3] == refused("no_such_user")
    assert [[ticket for ticket, _ in call] for call in answers.calls] == [[1], [2, 3, 4]]


def test_what_was_answered_can_be_read(service: StoreService, answers: Answers) -> None:
    for number in range(1, 20):
        service.submit(2 * number, text(number))
        answers.wait_for(2 * number)
        service.submit(2 * number + 1, ReadLog(CONVERSATION, number - 1, 10))
        (log,) = answers.wait_for(2 * number + 1)
        assert isinstance(log, LogRead)
        assert [entry.seq for entry in log.entries] == [number]


def test_a_full_queue_is_busy_at_once(faulty_store: FaultyStore, answers: Answers) -> None:
    service = StoreService(faulty_store.open, answers, max_queue=3)
    service.start()
    hold_writer(faulty_store, service)
    for number in range(1, 6):
        service.submit(number, text(number))
    assert answers.wait_for(4, 5) == [refused("busy")] * 2
    assert set(answers.by_ticket()) == {4, 5}
    faulty_store.writes_allowed.set()
    service.close()
    assert all(isinstance(outcome, Appended) for outcome in answers.wait_for(1, 2, 3))


def test_closing_answers_what_waits(faulty_store: FaultyStore, answers: Answers) -> None:
    service = StoreService(faulty_store.open, answers)
    service.start()
    for number in range(1, 301):
        service.submit(number, text(number))
        service.submit(1000 + number, ReadRoster(ANN))
    service.close()
    assert len(answers.by_ticket()) == 600
    assert len(stored(faulty_store)) == 300


def test_an_unreachable_store_refuses_all_that_waits(
    faulty_store: FaultyStore, service: StoreService, answers: Answers
) -> None:
    hold_writer(faulty_store, service)
    for number in range(1, 401):
        service.submit(number, text(number))
    faulty_store.plan.append(Fault.LOST_BEFORE)
    faulty_store.opens.append(False)
    faulty_store.writes_allowed.set()
    # Ticket 0 took the loss; all behind it are told without another try.
    outcomes = answers.wait_for(*range(401))
    assert outcomes == [refused("unavailable")] * 401
    assert not faulty_store.opens
    service.submit(500, text(1))
    (outcome,) = answers.wait_for(500)
    assert isinstance(outcome, Appended)
    assert stored(faulty_store) == ["text 1"]


def test_answers_that_cannot_be_handed_on_do_not_end_the_service(faulty_store: FaultyStore) -> None:
    answers = Answers()

    def hand_on(outcomes: list[tuple[int, StoreOutcome]]) -> None:
        if outcomes[0][0] == 1:
            raise RuntimeError("the loop is closed")
        answers(outcomes)

    service = StoreService(faulty_store.open, hand_on)  # type: ignore[arg-type]
    service.start()
    service.submit(1, text(1))
    service.submit(2, text(2))
    service.close()
    assert not isinstance(answers.by_ticket().get(2, Refused), Refused)


def test_start_raises_and_leaves_nothing_open(tmp_path: Path, answers: Answers) -> None:
    faulty_store = FaultyStore(tmp_path)
    faulty_store.opens.extend((True, False))
    with pytest.raises(StoreUnavailable):
        StoreService(faulty_store.open, answers).start()
    faulty_store.opens.append(False)
    with pytest.raises(StoreUnavailable):
        StoreService(faulty_store.open, answers).start()
    service = StoreService(faulty_store.open, answers)
    service.start()
    service.close()
