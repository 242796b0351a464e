"""A cluster of real programs under a steady stream of texts, while parts of it are killed.

    python -m tests.soak [--rounds N]        also: make soak

Twenty users with the real client session send texts, to friends and to a group, through nginx to
three nodes on MariaDB and Redis. One part after another is killed with SIGKILL and restarted a
second or two later; nodes are stopped, drained and, for a while, without Redis. In the end the
log in the database is compared with what every device saw: each `sent` is in it once, and every
device has applied all of it once, in order. The table shows how long texts took after each fault;
tests/recovery.py says how it is measured.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP
from typing import Final

from argon2 import PasswordHasher

from chat.client.driver import SessionDriver
from chat.client.session.client_session import ClientSession
from chat.client.session.ports import events, notices
from chat.client.session.ports.effects import AnyEffect, Transmit
from chat.core.ports import operations as op
from chat.protocol.messages import Entry
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import MySqlAddress
from chat.storage.dispatch import execute
from chat.storage.schema import migrate
from deploy.cluster import Cluster
from deploy.servers import HOST, Server
from tests.recovery import Fault, TextTimes, beyond_aim, measure, table

USERS: Final = 20
SECOND_DEVICES: Final = 4
NODES: Final = 3
PAUSE_S: Final = (0.2, 0.8)
"""Pause between two texts of one device."""
HEALED_S: Final = 30.0
"""The contract: within this time of a healthy path every entry has arrived."""
CALM_S: Final = 6.0
"""Between the recovery from a fault and the next fault."""
PASSWORD: Final = "correct horse"


@dataclass
class Sent:
    text: str
    at_s: float
    settled: tuple[int, int] | None = None
    settled_s: float = 0.0


class CountingSession(ClientSession):
    """Counts transmitted sends, repeated ones included, and `draining` pushes."""

    transmitted = 0
    drained = 0

    def handle(self, event: events.AnyEvent, now_ms: int) -> list[AnyEffect]:
        if isinstance(event, events.BytesReceived):
            self.drained += event.data.count(b'"type":"draining"')
        effects = super().handle(event, now_ms)
        for effect in effects:
            if isinstance(effect, Transmit):
                self.transmitted += effect.data.count(b'"key":"')
        return effects


class Device:
    """One device of one user: what it sent and what it applied."""

    def __init__(self, name: str, user: int, port: int, chance: random.Random) -> None:
        self.name = name
        self.user = user
        self.session = CountingSession(f"{name}-{chance.getrandbits(64):x}", chance.random)
        self.driver = SessionDriver(self.session, HOST, port, self._show)
        self.said: dict[int, Sent] = {}
        self.applied: dict[int, list[Entry]] = {}
        self.seen_s: dict[tuple[int, int], float] = {}
        self.failed: list[notices.SendFailed] = []

    def last(self, conversation: int) -> int:
        """The seq up to which it has seen the conversation."""
        applied = self.applied.get(conversation)
        return applied[-1].seq if applied else 0

    def say(self, event: events.SendChat | events.SendGroupChat) -> None:
        self.said[event.ref] = Sent(event.text, time.monotonic())
        self.driver.feed(event)

    def _show(self, effect: notices.AnyNotice) -> None:
        now_s = time.monotonic()
        if isinstance(effect, notices.EntryApplied):
            self.applied.setdefault(effect.conversation, []).append(effect.entry)
            self.seen_s[effect.conversation, effect.entry.seq] = now_s
            self.driver.feed(events.MarkRead(effect.conversation, effect.entry.seq))
        elif isinstance(effect, notices.SendSettled):
            said = self.said[effect.ref]
            assert said.settled is None, "settled twice"
            said.settled, said.settled_s = (effect.conversation, effect.seq), now_s
        elif isinstance(effect, notices.SendFailed):
            self.failed.append(effect)


@dataclass
class Soak:
    """One run, on a cluster that is started and not yet used."""

    cluster: Cluster
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    devices: list[Device] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    is_sending: bool = True

    # ------------------------------------------------------------------ the users

    async def log_in_all(self) -> None:
        """Makes each user a friend of the next two and a member of one group; logs all in."""
        connection = open_mysql(MySqlAddress.parse(self.cluster.nodes[0].store))
        migrate(connection)
        hashed = password_hash()
        users = []
        for number in range(USERS):
            made = execute(connection, op.CreateUser(f"person{number}", hashed, 0))
            assert isinstance(made, op.UserCreated)
            users.append(made.user.id)
        for place, user in enumerate(users):
            for other in (users[(place + 1) % USERS], users[(place + 2) % USERS]):
                execute(connection, op.AddFriend(user, other, 0))
                execute(connection, op.AddFriend(other, user, 0))
        group = execute(connection, op.CreateGroup(users[0], "everyone", "", 0))
        assert isinstance(group, op.GroupChanged)
        for user in users[1:]:
            execute(connection, op.JoinGroup(user, group.group, 0))
        connection.close()
        for number in range(USERS + SECOND_DEVICES):
            user = users[number % USERS]
            device = Device(f"device{number}", user, self.cluster.port, self.chance)
            self.devices.append(device)
            device.driver.feed(events.LogIn(user, PASSWORD))
        await self._until(lambda: all(device.session.logged_in for device in self.devices), 60)

    async def send_texts(self, device: Device) -> None:
        chance = self.chance
        while self.is_sending:
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            ref = len(device.said) + 1
            text = f"{device.name} says {ref}"
            roster = device.session.roster
            if chance.random() < 0.7:
                device.say(events.SendChat(ref, chance.choice(sorted(roster.friends)), text))
            else:
                device.say(events.SendGroupChat(ref, chance.choice(sorted(roster.groups)), text))

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline_s, "it takes too long"
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------------ faults

    async def away(
        self, what: str, server: Server, seconds: float, *, stands_alone: bool = False
    ) -> None:
        """Kills a part with SIGKILL, and starts it again after `seconds`."""

        def kill() -> None:
            server.kill()
            server.end_group()

        await self._during(
            f"kill -9 {what}", kill, server.start, seconds, stands_alone=stands_alone
        )

    async def pause(self, what: str, server: Server, seconds: float) -> None:
        await self._during(f"SIGSTOP {what} {seconds:g} s", server.suspend, server.resume, seconds)

    async def reload(self, what: str, server: Server) -> None:
        """Has a part read its configuration again."""
        await self._during(
            f"reload {what}", lambda: server.signal(SIGHUP), lambda: None, 1, stands_alone=True
        )

    async def drain(self, what: str, server: Server) -> None:
        """Stops a node with SIGTERM: it pushes `draining`, and ends when its requests are done."""

        def stop() -> None:
            status = server.stop()
            assert status == 0, f"{what} ended with {status}:\n{server.last_words()}"
            assert server.last_words(1) == "stopped"

        before = self._drain_pushes()
        await self._during(f"SIGTERM {what}", stop, server.start, 0.5)
        assert self._drain_pushes() > before

    def _drain_pushes(self) -> int:
        return sum(device.session.drained for device in self.devices)

    async def _during(
        self,
        what: str,
        begin: Callable[[], None],
        end: Callable[[], None],
        seconds: float,
        *,
        stands_alone: bool = False,
    ) -> None:
        from_s = time.monotonic()
        await asyncio.to_thread(begin)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(end)
        self.faults.append(Fault(what, from_s, time.monotonic(), stands_alone))

    async def recover(self) -> None:
        """Waits until what was said before has arrived, and a while longer, so that the next fault
        finds the cluster well."""
        now_s = time.monotonic()
        await self._until(lambda: self._has_arrived(now_s), HEALED_S)
        await asyncio.sleep(CALM_S)

    # ------------------------------------------------------------------ the end

    async def settle(self) -> float:
        """Waits until every entry has arrived; returns the seconds. Fails after HEALED_S."""
        start_s = time.monotonic()
        await self._until(lambda: self._has_arrived(start_s), HEALED_S)
        return time.monotonic() - start_s

    def _has_arrived(self, before_s: float) -> bool:
        """Whether every text that was said before that time is on every device."""
        heads: dict[int, int] = {}
        for device in self.devices:
            for said in device.said.values():
                if said.at_s > before_s:
                    continue
                if said.settled is None:
                    return False
                conversation, seq = said.settled
                heads[conversation] = max(seq, heads.get(conversation, 0))
        return all(
            device.last(conversation) >= heads.get(conversation, 0)
            for device in self.devices
            for conversation in conversations(device)
        )

    def check(self) -> None:
        """Compares the log of the database with what every device applied and every `sent`."""
        connection = open_mysql(MySqlAddress.parse(self.cluster.nodes[0].store))
        logs: dict[int, list[tuple[int, str]]] = {}
        for conversation, seq, text in connection.query(
            "SELECT conversation_id, seq, text FROM entries ORDER BY conversation_id, seq"
        ):
            logs.setdefault(conversation, []).append((seq, text))
        connection.close()
        for log in logs.values():
            assert [seq for seq, _ in log] == list(range(1, len(log) + 1)), "a log is 1..head"
        stored = [text for log in logs.values() for _, text in log if text]
        assert len(stored) == len(set(stored)), "an entry is stored once"
        for device in self.devices:
            assert not device.failed, device.failed
            for said in device.said.values():
                assert said.settled is not None, f"{said.text} was not settled"
                conversation, seq = said.settled
                assert logs[conversation][seq - 1] == (seq, said.text), "a sent is in the log"
            for conversation in conversations(device):
                applied = [(e.seq, e.text) for e in device.applied.get(conversation, [])]
                log = logs.get(conversation, [])
                assert applied == log[len(log) - len(applied) :], f"{device.name}: a run of the log"
                # A device need not have seen entries from before its login, such as the joinings.
                texts = [text for _, text in log if text]
                assert texts == [text for _, text in applied if text], f"{device.name} saw all"
        assert len(stored) == sum(len(device.said) for device in self.devices)

    def measure(self) -> None:
        last_seen_s: dict[tuple[int, int], float] = {}
        for device in self.devices:
            for place, at_s in device.seen_s.items():
                last_seen_s[place] = max(at_s, last_seen_s.get(place, 0.0))
        texts = []
        for device in self.devices:
            for said in device.said.values():
                assert said.settled is not None
                # A text that only its own device sees is seen when it is settled.
                seen_s = max(said.settled_s, last_seen_s.get(said.settled, 0.0))
                texts.append(TextTimes(said.at_s, said.settled_s, seen_s))
        measure(self.faults, texts)

    def check_times(self) -> None:
        """The contract holds after every fault, and what was aimed at is met."""
        for fault in self.faults:
            away_s = fault.to_s - fault.from_s if "SIGSTOP" in fault.what else 0.0
            longest_s = max(fault.seen_s, default=0.0)
            assert longest_s < HEALED_S + away_s, f"{fault.what}: {longest_s:.1f} s"
        missed = beyond_aim(self.faults)
        assert not missed, "\n".join(missed)

    def report(self) -> str:
        said = sum(len(device.said) for device in self.devices)
        acked = sum(one.settled is not None for d in self.devices for one in d.said.values())
        resent = sum(device.session.transmitted for device in self.devices) - said
        delivered = sum(len(run) for d in self.devices for run in d.applied.values())
        return (
            f"sent {said:,}, acked {acked:,}, resent {resent:,}, delivered {delivered:,}\n\n"
            + table(self.faults)
        )


def conversations(device: Device) -> list[int]:
    roster = device.session.roster
    return sorted([*(friend.conversation for friend in roster.friends.values()), *roster.groups])


def password_hash() -> str:
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(PASSWORD)


async def soak(cluster: Cluster, plan: Callable[[Soak], Awaitable[None]]) -> Soak:
    """Runs the plan's faults under a steady stream of texts, and checks the contract."""
    run = Soak(cluster)
    await run.log_in_all()
    senders = [asyncio.create_task(run.send_texts(device)) for device in run.devices]
    try:
        await asyncio.sleep(1)
        run.faults.append(Fault("nothing", time.monotonic(), time.monotonic()))
        await asyncio.sleep(1)
        await plan(run)
        run.is_sending = False
        await asyncio.gather(*senders)
        await run.settle()
        run.check()
        run.measure()
        return run
    finally:
        run.is_sending = False
        for sender in senders:
            sender.cancel()
        for device in run.devices:
            device.driver.close()


def killed_parts(cluster: Cluster, node: int) -> list[tuple[str, Server, bool]]:
    """Name, program, and whether nothing serves in its place while it is away."""
    return [
        ("node", cluster.nodes[node], False),
        ("redis", cluster.bus, False),
        ("mariadb", cluster.database, True),
        ("nginx", cluster.balancer, True),
    ]


async def short(run: Soak) -> None:
    """Every fault once, in quick succession."""
    cluster = run.cluster
    for what, server, stands_alone in killed_parts(cluster, 0):
        await run.away(what, server, 1, stands_alone=stands_alone)
        await asyncio.sleep(0.5)
    await run.drain("node", cluster.nodes[1])
    await run.pause("node", cluster.nodes[2], 2)
    await run.reload("nginx", cluster.balancer)
    await asyncio.sleep(0.5)


def long(rounds: int) -> Callable[[Soak], Awaitable[None]]:
    """Each part killed `rounds` times in turn, then the long faults."""

    async def plan(run: Soak) -> None:
        cluster = run.cluster
        for number in range(rounds):
            for what, server, stands_alone in killed_parts(cluster, number % NODES):
                away_s = run.chance.uniform(1, 2)
                await run.away(what, server, away_s, stands_alone=stands_alone)
                await run.recover()
            await run.drain("node", cluster.nodes[(number + 1) % NODES])
            await run.recover()
            await run.reload("nginx", cluster.balancer)
            await run.recover()
            await run.pause("node", cluster.nodes[(number + 2) % NODES], 10)
            await run.recover()
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        await run.away("redis for a minute", cluster.bus, 60)
        await run.recover()
        await run.away("nginx for 20 s", cluster.balancer, 20, stands_alone=True)
        await run.recover()

    return plan


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=10, help="(%(default)s)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="chat-soak-") as folder:
        cluster = Cluster(Path(folder), NODES, "--wait")
        try:
            cluster.start()
            run = asyncio.run(soak(cluster, long(options.rounds)))
            print(run.report())
            run.check_times()
        finally:
            with contextlib.suppress(Exception):
                cluster.stop()
            cluster.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
