"""The service: every ticket is answered once, in order, and says what can have been stored."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from chat.core.ports.operations import (
    Append,
    Appended,
    Block,
    CreateUser,
    FindAccount,
    FriendshipChanged,
    HeadsRead,
    JoinGroup,
    LogRead,
    ReadHeads,
    ReadLog,
    ReadRoster,
    Refused,
    RosterRead,
    StoreOperation,
    StoreOutcome,
    Unknown,
    UserCreated,
)
from chat.storage.backends.connection import in_transaction
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.errors import StoreUnavailable
from chat.storage.executor import ATTEMPTS
from chat.storage.schema import migrate
from chat.storage.service import StoreService
from tests.storage.faults import Answers, Fault, World
from tests.storage.stores import NOW_MS, befriend, people, read_all, refused, say

ANN, BOB, CYD = 1, 2, 3
CONVERSATION = 1


@pytest.fixture(name="world")
def fixture_world(tmp_path: Path) -> World:
    """A store in which Ann and Bob are friends."""
    world = World(tmp_path)
    connection = open_sqlite(world.path)
    migrate(connection)
    people(connection, 3)
    assert befriend(connection, ANN, BOB) == CONVERSATION
    connection.close()
    return world


@pytest.fixture(name="answers")
def fixture_answers() -> Answers:
    return Answers()


@pytest.fixture(name="service")
def fixture_service(world: World, answers: Answers) -> Iterator[StoreService]:
    service = StoreService(world.open, answers)
    service.start()
    world.commits = 0
    yield service
    world.write_door.set()
    world.read_door.set()
    service.close()


def text(number: int) -> Append:
    return say(ANN, BOB, f"text {number}", f"k{number}")


def stored(world: World) -> list[str]:
    connection = open_sqlite(world.path)
    texts = [entry.text for entry in read_all(connection, CONVERSATION)]
    connection.close()
    return texts


def hold_writer(world: World, service: StoreService) -> None:
    """Ticket 0 stands before its transaction, and everything else gathers behind it."""
    world.writer_waits.clear()
    world.write_door.clear()
    service.submit(0, Block(CYD, ANN))
    assert world.writer_waits.wait(20)


def test_what_waits_is_committed_together(
    world: World, service: StoreService, answers: Answers
) -> None:
    hold_writer(world, service)
    for number in range(1, 601):
        service.submit(number, text(number))
    world.write_door.set()
    outcomes = answers.wait_for(*range(1, 601))
    assert outcomes == [Appended(CONVERSATION, number, NOW_MS, BOB) for number in range(1, 601)]
    assert [len(call) for call in answers.calls] == [1, 256, 256, 88]
    assert world.commits == 4
    assert stored(world) == [f"text {number}" for number in range(1, 601)]


def test_appends_of_clients_just_answered_are_waited_for(
    service: StoreService, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.service.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.service.MAX_GATHER_S", 60.0)
    service.submit_all([(1, text(1)), (2, text(2))])
    answers.wait_for(1, 2)
    service.submit(3, text(3))
    service.submit(4, text(4))
    answers.wait_for(3, 4)
    assert [[ticket for ticket, _ in call] for call in answers.calls] == [[1, 2], [3, 4]]


def test_no_append_is_waited_for_that_was_not_expected(
    service: StoreService, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.service.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.service.MAX_GATHER_S", 60.0)
    for number in range(1, 4):
        service.submit(number, text(number))
        answers.wait_for(number)
    service.submit(4, Block(CYD, ANN))
    answers.wait_for(4)


def test_nothing_is_gathered_when_another_write_stands_behind(
    world: World, service: StoreService, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile would go behind that write, and not into the batch."""
    monkeypatch.setattr("chat.storage.service.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.service.MAX_GATHER_S", 60.0)
    world.write_door.clear()
    jobs: list[tuple[int, StoreOperation]] = []
    for number in range(0, 6, 2):
        jobs += [(number, text(number)), (number + 1, JoinGroup(ANN, 999, NOW_MS))]
    service.submit_all(jobs)
    world.write_door.set()
    answers.wait_for(*range(6))


def test_closing_ends_the_wait_for_more(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.storage.service.GATHER_FRACTION", 1e9)
    monkeypatch.setattr("chat.storage.service.MAX_GATHER_S", 60.0)
    service = StoreService(world.open, answers)
    service.start()
    service.submit_all([(1, text(1)), (2, text(2))])
    answers.wait_for(1, 2)
    service.submit(3, text(3))
    service.close()
    assert answers.wait_for(3) == [Appended(CONVERSATION, 3, NOW_MS, BOB)]


def test_an_append_is_decided_after_what_was_asked_before_it(
    world: World, service: StoreService, answers: Answers
) -> None:
    hold_writer(world, service)
    service.submit(1, text(1))
    service.submit(2, Block(BOB, ANN))
    service.submit(3, text(2))
    world.write_door.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert isinstance(first, Appended)
    assert isinstance(second, FriendshipChanged)
    assert third == refused("blocked")
    assert [[ticket for ticket, _ in call] for call in answers.calls] == [[0], [1], [2], [3]]


def test_reads_go_beside_the_writer_and_are_answered_together(
    world: World, service: StoreService, answers: Answers
) -> None:
    hold_writer(world, service)
    world.read_door.clear()
    service.submit(1, ReadRoster(ANN))
    assert world.reader_waits.wait(20)
    service.submit(2, FindAccount("bob"))
    service.submit(3, ReadHeads((CONVERSATION,), ()))
    service.submit(4, ReadRoster(999))
    world.read_door.set()
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


def test_a_full_queue_is_busy_at_once(world: World, answers: Answers) -> None:
    service = StoreService(world.open, answers, max_queue=3)
    service.start()
    hold_writer(world, service)
    for number in range(1, 6):
        service.submit(number, text(number))
    assert answers.wait_for(4, 5) == [refused("busy")] * 2
    assert set(answers.by_ticket()) == {4, 5}
    world.write_door.set()
    service.close()
    assert all(isinstance(outcome, Appended) for outcome in answers.wait_for(1, 2, 3))


def test_closing_answers_what_waits(world: World, answers: Answers) -> None:
    service = StoreService(world.open, answers)
    service.start()
    for number in range(1, 301):
        service.submit(number, text(number))
        service.submit(1000 + number, ReadRoster(ANN))
    service.close()
    assert len(answers.by_ticket()) == 600
    assert len(stored(world)) == 300


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
    ((Fault.LOST_COMMIT, *LOST * (ATTEMPTS - 1)), Unknown(), False),
    ((Fault.LOST_REPLY, Fault.UNAVAILABLE), Unknown(), True),
    ((Fault.LOST_REPLY, Fault.BUG), Unknown(), True),
    ((Fault.UNAVAILABLE,), refused("unavailable"), False),
    ((Fault.BUG,), refused("unavailable"), False),
    ((Fault.NULL,), refused("unavailable"), False),
]


@pytest.mark.parametrize(("faults", "answer", "is_stored"), APPEND_FATES)
def test_an_append_is_answered_by_what_is_known(
    world: World,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
    is_stored: bool,
) -> None:
    world.plan.extend(faults)
    service.submit(1, text(1))
    (outcome,) = answers.wait_for(1)
    if answer is not None:
        assert outcome == answer
    else:
        assert isinstance(outcome, Appended)
        assert outcome.seq == 1
    assert stored(world) == ["text 1"] * is_stored
    # Whatever happened, the next one is as good as any, and a second try is safe.
    world.plan.clear()
    service.submit(2, text(1))
    service.submit(3, text(2))
    assert [o.seq for o in answers.wait_for(2, 3) if isinstance(o, Appended)] == [1, 2]


WRITE_FATES: list[tuple[tuple[Fault, ...], StoreOutcome | None, bool]] = [
    ((Fault.DEADLOCK, Fault.LOST_BEFORE), None, True),
    ((Fault.LOST_COMMIT,), Unknown(), False),
    ((Fault.LOST_REPLY,), Unknown(), True),
    ((Fault.ODD_COMMIT,), Unknown(), True),
    ((Fault.LOCK_TIMEOUT,) * ATTEMPTS, refused("busy"), False),
    ((Fault.UNAVAILABLE,), refused("unavailable"), False),
    ((Fault.BUG,), refused("unavailable"), False),
    ((Fault.NULL,), refused("unavailable"), False),
]


@pytest.mark.parametrize(("faults", "answer", "is_stored"), WRITE_FATES)
def test_another_write_is_answered_by_what_is_known(
    world: World,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
    is_stored: bool,
) -> None:
    world.plan.extend(faults)
    service.submit(1, CreateUser("zoe", "hash", NOW_MS))
    (outcome,) = answers.wait_for(1)
    assert outcome == answer if answer is not None else isinstance(outcome, UserCreated)
    world.plan.clear()
    service.submit(2, CreateUser("zoe", "hash", NOW_MS))
    (again,) = answers.wait_for(2)
    assert again == refused("name_taken") if is_stored else isinstance(again, UserCreated)


def test_an_unreachable_store_refuses_all_that_waits(
    world: World, service: StoreService, answers: Answers
) -> None:
    hold_writer(world, service)
    for number in range(1, 401):
        service.submit(number, text(number))
    world.plan.extend(LOST)
    world.opens.append(False)
    world.write_door.set()
    # Ticket 0 took the loss; all behind it are told without another try.
    outcomes = answers.wait_for(*range(401))
    assert outcomes == [refused("unavailable")] * 401
    assert not world.opens
    service.submit(500, text(1))
    (outcome,) = answers.wait_for(500)
    assert isinstance(outcome, Appended)
    assert stored(world) == ["text 1"]


READ_FATES: list[tuple[tuple[Fault, ...], StoreOutcome | None]] = [
    ((Fault.DEADLOCK, Fault.LOST_BEFORE, Fault.LOST_REPLY), None),
    ((Fault.UNAVAILABLE,), refused("unavailable")),
    ((Fault.BUG,), refused("unavailable")),
]


@pytest.mark.parametrize(("faults", "answer"), READ_FATES)
def test_a_read_fails_only_if_it_must(
    world: World,
    service: StoreService,
    answers: Answers,
    faults: tuple[Fault, ...],
    answer: StoreOutcome | None,
) -> None:
    world.read_plan.extend(faults)
    service.submit(1, ReadRoster(ANN))
    (outcome,) = answers.wait_for(1)
    assert outcome == answer if answer is not None else isinstance(outcome, RosterRead)
    service.submit(2, ReadRoster(ANN))
    (outcome,) = answers.wait_for(2)
    assert isinstance(outcome, RosterRead)


def test_the_cache_is_not_used_for_a_database_that_was_restored(
    world: World, service: StoreService, answers: Answers
) -> None:
    for number in (1, 2):
        service.submit(number, text(number))
        answers.wait_for(number)
    connection = open_sqlite(world.path)
    for table in ("entries", "members", "friendships", "conversations"):
        in_transaction(connection, partial(connection.execute, f"DELETE FROM {table}"), write=True)
    connection.close()
    world.plan.append(Fault.LOST_BEFORE)
    service.submit(3, text(3))
    assert answers.wait_for(3) == [refused("not_friends")]
    assert stored(world) == []


def test_an_append_that_breaks_its_batch_fails_alone(
    world: World, service: StoreService, answers: Answers
) -> None:
    hold_writer(world, service)
    unspeakable = say(ANN, BOB, "\ud800", "k2")
    for ticket, append in ((1, text(1)), (2, unspeakable), (3, text(3))):
        service.submit(ticket, append)
    world.write_door.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert (first, third) == (
        Appended(CONVERSATION, 1, NOW_MS, BOB),
        Appended(CONVERSATION, 2, NOW_MS, BOB),
    )
    assert second == refused("unavailable")
    assert stored(world) == ["text 1", "text 3"]


def test_a_read_that_breaks_its_transaction_fails_alone(
    world: World, service: StoreService, answers: Answers
) -> None:
    world.read_door.clear()
    service.submit(0, ReadRoster(ANN))
    assert world.reader_waits.wait(20)
    service.submit_all(
        [(1, ReadRoster(ANN)), (2, FindAccount("\ud800")), (3, ReadHeads((CONVERSATION,), ()))]
    )
    world.read_door.set()
    first, second, third = answers.wait_for(1, 2, 3)
    assert isinstance(first, RosterRead)
    assert second == refused("unavailable")
    assert isinstance(third, HeadsRead)


def test_answers_that_cannot_be_handed_on_do_not_end_the_service(world: World) -> None:
    answers = Answers()

    def hand_on(outcomes: list[tuple[int, StoreOutcome]]) -> None:
        if outcomes[0][0] == 1:
            raise RuntimeError("the loop is closed")
        answers(outcomes)

    service = StoreService(world.open, hand_on)  # type: ignore[arg-type]
    service.start()
    service.submit(1, text(1))
    service.submit(2, text(2))
    service.close()
    assert not isinstance(answers.by_ticket().get(2, Refused), Refused)


def test_start_raises_and_leaves_nothing_open(tmp_path: Path, answers: Answers) -> None:
    world = World(tmp_path)
    world.opens.extend((True, False))
    with pytest.raises(StoreUnavailable):
        StoreService(world.open, answers).start()
    world.opens.append(False)
    with pytest.raises(StoreUnavailable):
        StoreService(world.open, answers).start()
    service = StoreService(world.open, answers)
    service.start()
    service.close()
