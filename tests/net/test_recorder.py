"""Recordings: replaying the events of a node gives the same effects."""

from pathlib import Path

import msgspec
import pytest

from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.net.recorder import Recorder, replay
from tests.loops import Run
from tests.net.running_node import RunningNode, running_node


async def scene(up: RunningNode) -> None:
    """Two friends, a group, a text, a bad line, a logout."""
    ann, bob = await up.log_in("ann"), await up.log_in("bob")
    await ann.ask("add_friend", 3, user="bob")
    await bob.line_of("friend_request")
    await bob.ask("add_friend", 3, user="ann")
    await ann.line_of("friend")
    await ann.write(b"nonsense\n")
    await ann.ask("chat", 4, to="bob", text="hello", key="k1")
    assert (await bob.line_of("message"))["text"] == "hello"
    await ann.ask("create_group", 5, name="gophers")
    await ann.line_of("group_created")
    await ann.ask("logout", 6)
    await ann.line_of("done")


def test_a_recording_gives_the_same_effects(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events"

    async def work() -> None:
        async with running_node(tmp_path / "chat.db", recording=path) as up:
            await scene(up)
            nodes.append((list(up.node.events), up.node.effects))

    nodes: list[tuple[list[AnyEvent], list[AnyEffect]]] = []
    run(work())
    ((events, effects),) = nodes
    records = list(replay(path))
    assert [event for _, event, _ in records][: len(events)] == events
    times = [now_ms for now_ms, _, _ in records]
    assert times == sorted(times)
    again = [effect for _, _, some in records for effect in some]
    assert msgspec.json.encode(again) == msgspec.json.encode(effects)
    assert len(again) > 20


def test_a_recording_that_was_cut_off_gives_what_is_whole(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events"

    async def work() -> None:
        async with running_node(tmp_path / "chat.db", recording=path) as up:
            await up.connect()

    run(work())
    whole = list(replay(path))
    data = path.read_bytes()
    for lost in (1, 5):
        path.write_bytes(data[:-lost])
        assert list(replay(path)) == whole[:-1]


def test_only_the_owner_may_read_a_recording(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with running_node(tmp_path / "chat.db", recording=tmp_path / "events") as up:
            await up.connect()

    run(work())
    assert (tmp_path / "events").stat().st_mode & 0o777 == 0o600


class FullDisk(Recorder):
    def record(self, event: AnyEvent, now_ms: int) -> None:
        raise OSError("no space left on device")


def test_a_node_lives_on_when_its_recording_cannot_be_written(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with running_node(
            tmp_path / "chat.db", recording=tmp_path / "events", recorder_type=FullDisk
        ) as up:
            peer = await up.connect()
            await peer.ask("ping", 1)
            assert await peer.line() == {"type": "pong", "re": 1}

    run(work())
    assert [record.getMessage() for record in caplog.records] == [
        "The recording ends here, for it cannot be written: no space left on device"
    ]
