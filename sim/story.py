"""Stories: a cluster driven by lines that a person can read, write and paste.

    people ann bob            the users; they are friends, and all in one group
    ann on node-1             a device of Ann's, connected to that node; the first is ann-1
    ann-1 says bob: hello     a text to a friend
    ann-1 says all: hello     a text to the group
    ann-1 joins, leaves, ends             the group
    ann-1 befriends bob, unfriends bob, blocks bob, unblocks bob
    ann-1 looks               asks for a snapshot of the roster
    ann-1 sleeps, ann-1 wakes             switched off, on
    stranger on node-1: ...   a connection of the adversary, which sends that line, valid or not

    reset ann-1               the connection ends, and both sides hear of it
    break ann-1 after 20      the same, once 20 more bytes have come; break node of ann-1 after 20
    half-open ann-1           only the node hears of it; half-open node of ann-1: only the client
    stop ann-1, go ann-1      the connection carries nothing; carries again
    stop ann-1 up             nothing from the client; stop ann-1 down: nothing to it
    slow ann-1, fast ann-1    the client reads slowly; without a limit
    crash node-1, start node-1, pause node-1, resume node-1, drain node-1
    jump node-1 60000         its clock is set ahead by that many ms
    stop store, start store, stop bus, start bus
    cut store node-1, mend store node-1, cut bus node-1, mend bus node-1
    deafen node-1             it receives nothing from the bus; mute node-1: the bus gets nothing
    lose replies, keep replies        of commits, to the node that asked
    lose messages, keep messages    messages of the bus
    slow reads, fast reads            of the store: they take a second longer; no longer
    strike KIND               a fault of sim/faults/injectors.py; strike KIND at ann-1, at node-1
    begin KIND, end KIND      a probabilistic or standing fault: store_deadlock, delay
    wait 500                  ms pass
    heal                      all faults end, and within a minute everything must have converged

`Story.do` carries out a line and returns what the devices told their users meanwhile, line by line.
A violation of an invariant is raised as in any run.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from chat.client.session.ports import notices
from chat.client.session.ports.effects import AnyEffect as ClientEffect
from chat.client.session.ports.notices import ConnectionChanged, ConnectionStatus
from chat.client.session.ports.requests import QueuedRequest
from chat.core.ports import operations as op
from chat.core.ports.effects import AnyEffect
from chat.core.ports.events import AnyEvent
from chat.protocol import messages
from sim.checkers import Violation
from sim.checkers.checks import Checks
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.injection_points import InjectionTarget
from sim.cluster.network import ADVERSARY, NetworkConditions, SimConnection
from sim.cluster.world import START_MS
from sim.faults.injectors import ANYWHERE, INJECTORS
from sim.faults.swarm import KINDS, Faults
from sim.report.run_report import Report

NODES: Final = 2
SLOW_READ_MS: Final = 1_000
STORY_SEVERITY: Final = 3.0
"""Severity of the faults that a story begins: high, so that they show within a few lines."""
RATES: Final = tuple(kind for kind in KINDS if kind not in INJECTORS and kind != "hostile_bytes")
"""The kinds of faults that a story may begin and end."""


class Story:
    """One cluster of two nodes, and the lines that were carried out."""

    def __init__(self, seed: int = 0, *, keep_trace: bool = False) -> None:
        self._checks = Checks()
        self.cluster = Cluster(
            seed, nodes=NODES, devices=0, keep_trace=keep_trace, observers=[self._checks, self]
        )
        self._faults = Faults(self.cluster, [])
        self.cluster.network_conditions = NetworkConditions(latency_ms=(1, 1), fragmented=0.0)
        self.done: list[str] = []
        self._output: list[str] = []
        self._names: dict[int, str] = {}
        self._verbs: list[tuple[str, Callable[..., None]]] = [
            (r"people (.+)", self._create_users),
            (r"(\w+) on (node-\d)", self._device),
            (r"(\S+) says all: (.+)", self._say_all),
            (r"(\S+) says (\w+): (.+)", self._say),
            (r"(\S+) (joins|leaves|ends|looks)", self._ask),
            (r"(\S+) (befriends|unfriends|blocks|unblocks) (\w+)", self._ask_about),
            (r"(\S+) (sleeps|wakes)", self._sleep),
            (r"stranger on (node-\d): (.*)", self._adversary),
            (r"(reset|half-open|half-open node of) (\S+-\d+)", self._break),
            (r"break (node of )?(\S+-\d+) after (\d+)", self._break_after),
            (r"(stop|go) (\w+-\d+)( up| down)?", self._stop),
            (r"(slow|fast) (\w+-\d+)", self._slow),
            (r"(crash|start|pause|resume|drain) (node-\d)", self._host_verb),
            (r"jump (node-\d) (\d+)", self._jump),
            (r"(stop|start) (store|bus)", self._server),
            (r"(cut|mend) (store|bus) (node-\d)", self._cut),
            (r"(deafen|mute) (node-\d)", self._cut_one_way),
            (r"(lose|keep) (replies|messages)", self._lose),
            (r"(slow|fast) reads", self._slow_reads),
            (r"strike (\w+)(?: at (\S+-\d+))?", self._strike),
            (r"(begin|end) (\w+)", self._begin),
            (r"wait (\d+)", self._wait),
            (r"heal", self._heal),
        ]

    def do(self, line: str) -> list[str]:
        """Carries out a line. Returns what the devices told their users since the last one.

        Raises ValueError if it is no line of a story."""
        self.done.append(line)
        for pattern, act in self._verbs:
            found = re.fullmatch(pattern, line)
            if found:
                act(*found.groups())
                output, self._output = self._output, []
                return output
        raise ValueError(f"{line!r} is no line of a story")

    def text(self) -> str:
        """The lines that were carried out: a story to paste."""
        return "\n".join(f"> {line}" for line in self.done)

    def program(self) -> str:
        """The same as a command to paste into a shell."""
        return f"python -m sim story - <<'END'\n{self.text()}\nEND"

    # ------------------------------------------------------------------ as an observer

    def attached(self, cluster: Cluster) -> None:
        pass

    def node_handled(self, host: Host, event: AnyEvent, effects: list[AnyEffect]) -> None:
        pass

    def device_effect(self, device: SimDevice, effect: ClientEffect) -> None:
        if isinstance(effect, notices.EntryApplied):
            entry = effect.entry
            what = entry.text if entry.kind == "text" else str(entry.kind)
            seq = f"{effect.conversation}/{entry.seq}"
            self._output.append(f"{device.name} sees {seq} {entry.from_.name}: {what}")
        elif isinstance(effect, notices.SendSettled):
            text = device.sent_texts[effect.ref].text
            self._output.append(f"{device.name} sent {effect.conversation}/{effect.seq} {text}")
        elif isinstance(effect, notices.SendFailed):
            self._output.append(f"{device.name} could not send {effect.text}: {effect.code}")
        elif isinstance(effect, notices.LoggedIn):
            self._output.append(f"{device.name} is {'back' if effect.reconnected else 'logged in'}")
        elif isinstance(effect, notices.GroupAdded):
            self._output.append(f"{device.name} is in the group {effect.group.name}")
        elif isinstance(effect, notices.GroupRemoved):
            self._output.append(f"{device.name} is not in the group {effect.group.name} any more")
        elif isinstance(effect, notices.FriendAdded):
            self._output.append(f"{device.name} has the friend {effect.friend.name}")
        elif isinstance(effect, notices.FriendRemoved):
            self._output.append(f"{device.name} has lost the friend {effect.friend.name}")
        elif isinstance(effect, ConnectionChanged) and effect.status is ConnectionStatus.WAITING:
            self._output.append(f"{device.name} lost its connection")

    # ------------------------------------------------------------------ users and devices

    def _create_users(self, names: str) -> None:
        if self.cluster.user_ids or len(set(names.split())) < 2:
            raise ValueError("users are created once, and at least two of them")
        self.cluster.create_users(names.split())
        self._names = {number: name for name, number in self.cluster.user_ids.items()}

    def _device(self, user: str, node: str) -> None:
        self._user(user)
        self.cluster.pinned_host = self._host(node)
        self.cluster.add_device(user)
        self.cluster.world.run_for(200)

    def _named(self, name: str) -> SimDevice:
        for device in self.cluster.devices:
            if device.name == name:
                return device
        raise ValueError(f"there is no device {name!r} yet")

    def _host(self, name: str) -> Host:
        for host in self.cluster.hosts:
            if host.name == name:
                return host
        raise ValueError(f"there is no {name}, there are {NODES} nodes")

    def _user(self, name: str) -> int:
        if name not in self.cluster.user_ids:
            raise ValueError(f"there is no user called {name!r}")
        return self.cluster.user_ids[name]

    def _say(self, device: str, to: str, text: str) -> None:
        self._named(device).send_text(("user", self._user(to)), text)
        self.cluster.world.run_for(0)

    def _say_all(self, device: str, text: str) -> None:
        self._named(device).send_text(("group", self.cluster.groups[0]), text)
        self.cluster.world.run_for(0)

    def _ask(self, device: str, what: str) -> None:
        group = self.cluster.groups[0]
        requests: dict[str, QueuedRequest] = {
            "joins": messages.JoinGroupRequest(id=0, group=group),
            "leaves": messages.LeaveGroupRequest(id=0, group=group),
            "ends": messages.DeleteGroupRequest(id=0, group=group),
            "looks": messages.SnapshotRequest(id=0),
        }
        self._named(device).ask(requests[what])

    def _ask_about(self, device: str, what: str, name: str) -> None:
        user = self._user(name)
        requests: dict[str, QueuedRequest] = {
            "befriends": messages.AddFriendRequest(id=0, user=user),
            "unfriends": messages.RemoveFriendRequest(id=0, user=user),
            "blocks": messages.BlockRequest(id=0, user=user),
            "unblocks": messages.UnblockRequest(id=0, user=user),
        }
        self._named(device).ask(requests[what])

    def _sleep(self, device: str, what: str) -> None:
        if what == "sleeps":
            self._named(device).switch_off()
        else:
            self._named(device).switch_on()

    def _adversary(self, node: str, line: str) -> None:
        conn = SimConnection(self.cluster.world, ADVERSARY, self.cluster.network_conditions)
        self.cluster.connections.append(conn)
        self._host(node).accept(conn, "198.51.100.1")
        conn.up.write(line.encode() + b"\n")

    # ------------------------------------------------------------------ faults

    def _break(self, how: str, device: str) -> None:
        conn = self._named(device).connection
        if conn is not None:
            conn.reset(client_hears=how != "half-open", node_hears=how != "half-open node of")

    def _break_after(self, node: str | None, device: str, count: str) -> None:
        conn = self._named(device).connection
        if conn is not None:
            conn.break_after(max(1, int(count)), up=node is not None)

    def _stop(self, how: str, device: str, way: str | None) -> None:
        conn = self._named(device).connection
        if conn is None:
            return
        ways = {None: (conn.up, conn.down), " up": (conn.up,), " down": (conn.down,)}
        for pipe in ways[way]:
            if how == "stop":
                pipe.stopped = True
            else:
                pipe.resume()

    def _slow(self, how: str, device: str) -> None:
        conn = self._named(device).connection
        if conn is not None:
            conn.down.bytes_per_ms = 1 if how == "slow" else None
            if how == "fast":
                conn.down.resume()

    def _host_verb(self, verb: str, name: str) -> None:
        host = self._host(name)
        if verb == "start" and host.node is None:
            host.start()
        elif verb != "start" and host.node is not None:
            act: Callable[[], None] = getattr(host, verb)
            act()

    def _jump(self, name: str, ms: str) -> None:
        host = self._host(name)
        if host.node is not None:
            host.jump(int(ms))

    def _server(self, verb: str, which: str) -> None:
        if which == "store":
            self.cluster.store.up = verb == "start"
        elif verb == "start":
            self.cluster.bus.start()
        else:
            self.cluster.bus.stop()

    def _cut(self, verb: str, which: str, name: str) -> None:
        host = self._host(name)
        if host.node is None:
            return
        if which == "store":
            host.store_link.cut = verb == "cut"
            return
        if verb == "mend":
            host.port.mend()
        elif not host.port.cut:
            host.port.cut_off()

    def _cut_one_way(self, verb: str, name: str) -> None:
        host = self._host(name)
        if host.node is not None and not host.port.cut:
            host.port.cut_off(receives=verb == "mute", sends=verb == "deafen")

    def _lose(self, verb: str, what: str) -> None:
        likely = 1.0 if verb == "lose" else 0.0
        if what == "replies":
            self.cluster.store.faults.lost_reply = likely
        else:
            self.cluster.bus.faults.lost = likely

    def _slow_reads(self, how: str) -> None:
        wait_ms = SLOW_READ_MS if how == "slow" else 0
        self.cluster.store.faults.read_ms = (wait_ms, wait_ms)

    def _strike(self, kind: str, party: str | None) -> None:
        if kind not in INJECTORS:
            raise ValueError(
                f"there is no injector {kind!r}, there are {', '.join(sorted(INJECTORS))}"
            )
        target = ANYWHERE
        if party is not None and party.startswith("node-"):
            target = InjectionTarget(self._host(party).name)
        elif party is not None:
            conn = self._named(party).connection
            names = [h.name for h in self.cluster.hosts if conn in h.connections.values()]
            if not names:
                return
            target = InjectionTarget(names[0], connection=conn)
        self._faults.inject(kind, target)

    def _begin(self, verb: str, kind: str) -> None:
        if kind not in RATES:
            raise ValueError(f"there is no lasting fault {kind!r}, there are {', '.join(RATES)}")
        self._faults.set_rate(kind, STORY_SEVERITY if verb == "begin" else 0.0)
        for conn in self.cluster.connections:
            conn.up.conditions = conn.down.conditions = self.cluster.network_conditions

    # ------------------------------------------------------------------ time

    def _wait(self, ms: str) -> None:
        self.cluster.world.run_for(int(ms))

    def _heal(self) -> None:
        self.cluster.pinned_host = None
        self._faults.heal()
        self._checks.check_healed(presence_counts=True)
        self._checks.check_end()

    def report(self, violation: Violation | None) -> Report:
        """The story as a report, for its diagram."""
        cluster = self.cluster
        return Report(
            seed=cluster.world.seed,
            simulated_ms=cluster.world.now_ms - START_MS,
            events=cluster.world.events,
            acked=cluster.acked(),
            applied=cluster.applied(),
            faults=self._faults.counts(),
            trace_hash=cluster.trace.hexdigest(),
            violation=violation,
            trace=cluster.trace,
        )

    def log(self) -> list[str]:
        """The group's log, as it is in the store."""
        read = self.cluster.ask_store(op.ReadLog(self.cluster.groups[0], 0, 1_000))
        assert isinstance(read, op.LogRead)
        return [f"{entry.seq} {entry.sender_name}: {entry.text}" for entry in read.entries]


def transcript(story: Story, text: str) -> Iterator[str]:
    """Carries out the lines that begin with "> ". Yields each of them with what follows from it,
    comments and empty lines as they are, and the group's log at the end; skips other lines."""
    for line in text.splitlines():
        if line.startswith(("#", ">")) or not line:
            yield line
        if line.startswith("> "):
            yield from story.do(line[2:])
    if story.cluster.groups:
        yield "log:"
        yield from story.log()
