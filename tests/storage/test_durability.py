"""kill -9 in the middle of a stream of commits: what was reported is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from chat.core.ports.operations import Appended
from chat.storage.backends.sqlite import open_sqlite
from chat.storage.dispatch import execute
from chat.storage.schema import migrate
from tests.storage.stores import befriend, read_all, register_users, say

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
import threading
from chat.core.ports.operations import Appended
from chat.storage.service import StoreService
from chat.storage.backends.sqlite import open_sqlite
from tests.storage.stores import say

def report(answers):
    for ticket, outcome in answers:
        assert isinstance(outcome, Appended), outcome
        print(ticket, outcome.seq, flush=True)
        room.release()

room = threading.Semaphore(300)
service = StoreService(lambda: open_sqlite(sys.argv[1]), report)
service.start()
for ticket in range(1, 1_000_000):
    room.acquire()
    service.submit(ticket, say(1, 2, f"text {ticket}", f"k{ticket}"))
"""


@pytest.mark.parametrize("reports", [1, 40, 1_500])
def test_what_was_reported_survives_a_kill(tmp_path: Path, reports: int) -> None:
    path = tmp_path / "chat.db"
    store = open_sqlite(path)
    migrate(store)
    ann, bob = register_users(store, 2)
    conversation = befriend(store, ann, bob)
    store.close()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(reports)]
    writer.kill()
    lines += writer.communicate()[0].splitlines(keepends=True)
    store = open_sqlite(path)
    migrate(store)
    log = read_all(store, conversation)
    whole = [line for line in lines if line.endswith("\n")]
    assert len(whole) >= reports
    for line in whole:
        ticket, seq = map(int, line.split())
        assert log[seq - 1].text == f"text {ticket}"
        assert log[seq - 1].key == f"k{ticket}"
    # The rest may be stored or not; sent again under its keys it is stored once.
    for ticket in range(1, len(log) + 50):
        assert isinstance(execute(store, say(ann, bob, f"text {ticket}", f"k{ticket}")), Appended)
    texts = [entry.text for entry in read_all(store, conversation)]
    assert texts == [f"text {ticket}" for ticket in range(1, len(log) + 50)]
    store.close()
