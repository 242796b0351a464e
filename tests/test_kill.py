"""kill -9 of a node in the middle of a stream of chats, with real processes: every text answered by
`sent` is in the log once, and the receiver gets every text once, in order."""

import re
import signal
import sqlite3
from pathlib import Path

from deploy.servers import free_port
from tests.processes import ClientProcess, NodeProcess

CHATS = 1_000
KILLS = (120, 450, 800)
NO_LIMITS = ("--sends-per-second", "100000", "--send-burst", "100000")


def log_in(client: ClientProcess, name: str) -> None:
    client.write("2", name, f"secret-{name}", "1", name, f"secret-{name}")
    client.wait_for(rf"\b{name}\b.*\d|\d.*\b{name}\b")


def test_a_stream_of_chats_survives_kill_9(tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "chat.db"
    node = NodeProcess(port, store, *NO_LIMITS)
    ann, bob = ClientProcess(port), ClientProcess(port)
    try:
        log_in(ann, "ann")
        log_in(bob, "bob")
        ann.write("addfriend:bob")
        bob.wait_for("ann")
        bob.write("addfriend:ann")
        ann.wait_for("you are friends now")
        ann.write(*[f"chat:bob:text-{number:04}-end" for number in range(CHATS)])
        for shown in KILLS:
            bob.wait_for("text-.*-end", shown)
            node.signal(signal.SIGKILL)
            node.close()
            node = NodeProcess(port, store, *NO_LIMITS)
        ann.write("quit")
        assert ann.exit_code() == 0, str(ann)
        bob.wait_for("text-.*-end", CHATS)
        bob.write("quit")
        assert bob.exit_code() == 0, str(bob)
    finally:
        for process in (ann, bob, node):
            process.close()
    texts = [f"text-{number:04}-end" for number in range(CHATS)]
    got = [found[0] for line in bob.out if (found := re.search("text-.*-end", line))]
    assert got == texts
    rows = sqlite3.connect(store).execute("SELECT text FROM entries ORDER BY seq").fetchall()
    assert [text for (text,) in rows] == texts
