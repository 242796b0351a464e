"""A service on a store with faults, and what tests of it share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.core.ports.operations import Append, Block
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.schema import migrate
from chat.storage.service import StoreService
from tests.storage.faults import Answers, FaultyStore
from tests.storage.stores import befriend, read_all, register_users, say

ANN, BOB, CYD = 1, 2, 3
CONVERSATION = 1


@pytest.fixture(name="faulty_store")
def fixture_faulty_store(tmp_path: Path) -> FaultyStore:
    """A store in which Ann and Bob are friends."""
    faulty_store = FaultyStore(tmp_path)
    connection = open_sqlite(faulty_store.path)
    migrate(connection)
    register_users(connection, 3)
    assert befriend(connection, ANN, BOB) == CONVERSATION
    connection.close()
    return faulty_store


@pytest.fixture(name="answers")
def fixture_answers() -> Answers:
    return Answers()


@pytest.fixture(name="service")
def fixture_service(faulty_store: FaultyStore, answers: Answers) -> Iterator[StoreService]:
    service = StoreService(faulty_store.open, answers)
    service.start()
    faulty_store.commits = 0
    yield service
    faulty_store.writes_allowed.set()
    faulty_store.reads_allowed.set()
    service.close()


def text(number: int) -> Append:
    return say(ANN, BOB, f"text {number}", f"k{number}")


def stored(faulty_store: FaultyStore) -> list[str]:
    connection = open_sqlite(faulty_store.path)
    texts = [entry.text for entry in read_all(connection, CONVERSATION)]
    connection.close()
    return texts


def hold_writer(faulty_store: FaultyStore, service: StoreService) -> None:
    """Ticket 0 waits to begin its transaction, and everything else gathers behind it."""
    faulty_store.writer_waits.clear()
    faulty_store.writes_allowed.clear()
    service.submit(0, Block(CYD, ANN))
    assert faulty_store.writer_waits.wait(20)
