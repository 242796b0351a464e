"""The attacks: what they send, how what is noticed is counted, and one of them in miniature."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.load.peer import Peer
from bench.results.attacks import DELIVERED, SENT
from bench.results.figures import read_json
from bench.targets.servers import ROOT, ChatNode, DefaultNode
from bench.workloads.attacks.legitimate_process import Direction, LegitimateChat
from bench.workloads.attacks.registry import (
    ATTACKS,
    LINE_BYTES,
    LOGIN_LINE_BYTES,
    crafted_lines,
)
from chat.protocol.codec import Problem, decode_request


@pytest.mark.parametrize("length_bytes", [LOGIN_LINE_BYTES, LINE_BYTES])
def test_crafted_lines_are_as_long_as_a_node_reads_and_no_requests(length_bytes: int) -> None:
    for line in crafted_lines(length_bytes):
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert length_bytes - 8 <= len(line) - 1 <= length_bytes
        assert isinstance(decode_request(line[:-1]), Problem)


def test_the_document_describes_every_attack() -> None:
    text = (ROOT / "docs" / "attacks.md").read_text("utf-8")
    described = re.findall(r"^\| (\S+) \| (.*) \|$", text.partition("## Columns")[0], re.M)
    assert described[1:] == [(attack.name, attack.does) for attack in ATTACKS.values()]


def test_a_node_of_an_attack_has_its_default_limits(tmp_path: Path) -> None:
    assert "--send-burst" in ChatNode(tmp_path, "sqlite:x").command()
    command = DefaultNode(tmp_path, "sqlite:x", files=256).command()
    assert command[:2] == ["prlimit", "--nofile=256:256"]
    assert command[-2:] == ["--store", "sqlite:x"]


class _Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data


def test_texts_that_do_not_arrive_count_with_the_time_they_were_waited_for() -> None:
    async def measure() -> None:
        ann, bob = (Peer(LegitimateChat("chat", name), name) for name in ("ann", "bob"))
        for peer in (ann, bob):
            peer.connection_made(_Wire())
            peer.begin()
        texts = Direction(ann, bob, 2)
        texts.send()
        bob.data_received(b'{"type":"message","text":"0 ...","seq":1}\n')
        ann.data_received(b'{"type":"sent","re":0,"conversation":1,"seq":1,"at":1}\n')
        texts.begin()
        texts.send()
        texts.send()
        bob.data_received(b'{"type":"message","text":"1 ...","seq":2}\n')
        now = time.perf_counter() + 100
        assert texts.missing == 2
        arrived, missing = texts.latencies_s(DELIVERED, now)
        assert arrived < 50 < missing
        assert all(one > 50 for one in texts.latencies_s(SENT, now))

    asyncio.run(measure())


def test_pushes_that_an_attack_causes_are_no_fault_and_an_error_is_one() -> None:
    async def receive(line: bytes) -> Exception | None:
        peer = Peer(LegitimateChat("chat", "ann"), "ann")
        peer.connection_made(_Wire())
        peer.begin()
        try:
            peer.check(line)
        except Exception as failure:
            return failure
        return None

    push = b'{"type":"friend_request","user":{"id":201,"name":"user-201"}}\n'
    error = b'{"type":"error","re":1,"code":"busy","message":"Later."}\n'
    assert asyncio.run(receive(push)) is None
    assert asyncio.run(receive(error)) is not None


def test_shape(tmp_path: Path) -> None:
    out, table = tmp_path / "figures.json", tmp_path / "table.md"
    options = ["--tiny", "--only", "http", "--json", str(out), "--markdown", str(table)]
    assert main(["attacks", *options]) in (0, 1)
    (found,) = read_json(out)
    assert found.workload == "attack http"
    assert found.values["attackers.opened"] > 0
    assert found.values["quiet.delivered.p99_ms"] > 0
    assert len(table.read_text().splitlines()) == 3


def test_names_of_workloads_are_no_attacks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["attacks", "--only", "direct"])
    assert "direct is not one of lines-before-login" in capsys.readouterr().err
    assert "direct" not in ATTACKS
