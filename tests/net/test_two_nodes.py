"""Two nodes with one store and one bus, in one process: it makes no difference where one is."""

from pathlib import Path

from chat.core.config import NodeConfig
from chat.net.local_bus import LocalHub
from tests.net.loops import Run
from tests.net.stage import stage

NO_SWEEP = NodeConfig(sweep_ms=3_600_000)
"""What arrives, arrives by the bus."""


def test_friends_on_two_nodes_chat(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        store, hub = tmp_path / "chat.db", LocalHub()
        async with (
            stage(store, NO_SWEEP, hub=hub) as left,
            stage(store, NO_SWEEP, hub=hub) as right,
        ):
            ann, bob = await left.enter("ann"), await right.enter("bob")
            await ann.ask("add_friend", 3, user="bob")
            assert (await bob.line_of("friend_request"))["user"]["name"] == "ann"
            await bob.ask("add_friend", 3, user="ann")
            friend = (await ann.line_of("friend"))["friend"]
            assert friend["name"] == "bob"
            if friend["state"] == "offline":
                online = {"type": "presence", "user": friend["id"], "state": "online"}
                assert await ann.line_of("presence") == online
            await bob.line_of("friend")
            for number in range(20):
                await ann.ask(
                    "chat", 10 + number, to="bob", text=f"text {number}", key=f"k{number}"
                )
            for number in range(20):
                message = await bob.line_of("message")
                assert (message["seq"], message["text"]) == (number + 1, f"text {number}")
            await bob.ask("mark_read", 4, conversation=friend["conversation"], seq=20)
            assert (await ann.line_of("receipt"))["seq"] == 20

    run(work())
