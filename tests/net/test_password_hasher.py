"""Passwords: what is stored, what matches, what happens when the queue is full."""

import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from chat.core.ports.operations import (
    CheckPassword,
    HashPassword,
    PasswordChecked,
    PasswordHashed,
    PasswordOperation,
    PasswordOutcome,
    Refused,
)
from chat.net.password_hasher import PasswordHasher
from chat.protocol.errors import ErrorCode

WAIT_S = 20.0


class Asker:
    """A password hasher and the answers it gave."""

    def __init__(self) -> None:
        self.answers: queue.Queue[tuple[int, PasswordOutcome]] = queue.Queue()
        self.hasher = PasswordHasher(self._answered, threads=1, max_waiting=2)
        self._tickets = 0

    def _answered(self, answers: Sequence[tuple[int, PasswordOutcome]]) -> None:
        for answer in answers:
            self.answers.put(answer)

    def ask(self, operation: PasswordOperation) -> PasswordOutcome:
        self._tickets += 1
        self.hasher.submit(self._tickets, operation)
        ticket, outcome = self.answers.get(timeout=WAIT_S)
        assert ticket == self._tickets
        return outcome

    def hash(self, password: str) -> str:
        outcome = self.ask(HashPassword(password))
        assert isinstance(outcome, PasswordHashed)
        return outcome.password_hash


@pytest.fixture(name="asker")
def fixture_asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.hasher.close()


def test_a_password_matches_its_hash_and_gets_a_new_token_each_time(asker: Asker) -> None:
    password_hash = asker.hash("correct horse")
    tokens = set()
    for _ in range(2):
        outcome = asker.ask(CheckPassword("correct horse", password_hash))
        assert isinstance(outcome, PasswordChecked)
        assert outcome.matches
        assert re.fullmatch("[0-9a-f]{64}", outcome.token)
        tokens.add(outcome.token)
    assert len(tokens) == 2


def test_the_hash_is_argon2id_with_salt(asker: Asker) -> None:
    hashes = {asker.hash("pässwörd 🐴") for _ in range(2)}
    assert len(hashes) == 2
    for password_hash in hashes:
        assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert asker.ask(CheckPassword("pässwörd 🐴", password_hash)) != PasswordChecked(False, "")


@pytest.mark.parametrize("password", ["correct horsE", "correct horse ", "", "x" * 128])
def test_another_password_does_not_match(asker: Asker, password: str) -> None:
    password_hash = asker.hash("correct horse")
    assert asker.ask(CheckPassword(password, password_hash)) == PasswordChecked(False, "")


@pytest.mark.parametrize("password_hash", [None, "", "no hash", "$argon2id$v=19$m=1,t=1,p=1$"])
def test_nothing_matches_where_there_is_no_hash(asker: Asker, password_hash: str | None) -> None:
    assert asker.ask(CheckPassword("correct horse", password_hash)) == PasswordChecked(False, "")


def test_an_unknown_user_takes_as_long_as_a_wrong_password(asker: Asker) -> None:
    password_hash = asker.hash("correct horse")

    def least_s(operation: CheckPassword) -> float:
        times = []
        for _ in range(5):
            start_s = time.perf_counter()
            asker.ask(operation)
            times.append(time.perf_counter() - start_s)
        return min(times)

    known_s = least_s(CheckPassword("wrong horse", password_hash))
    unknown_s = least_s(CheckPassword("wrong horse", None))
    assert known_s / 3 < unknown_s < known_s * 3


def test_what_finds_the_queue_full_is_refused_at_once_and_the_rest_is_done(asker: Asker) -> None:
    for ticket in range(50):
        asker.hasher.submit(ticket, HashPassword("correct horse"))
    answers = dict(asker.answers.get(timeout=WAIT_S) for _ in range(50))
    assert set(answers) == set(range(50))
    busy = [ticket for ticket, outcome in answers.items() if outcome == Refused(ErrorCode.BUSY)]
    hashed = [ticket for ticket in answers if isinstance(answers[ticket], PasswordHashed)]
    assert busy
    assert len(hashed) >= 3
    assert len(busy) + len(hashed) == 50
    assert asker.hash("there is room again")


def test_closing_leaves_no_thread() -> None:
    asker = Asker()
    assert asker.hash("correct horse")
    for ticket in range(3):
        asker.hasher.submit(ticket, HashPassword("correct horse"))
    asker.hasher.close()
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("password-hasher")
    ]
