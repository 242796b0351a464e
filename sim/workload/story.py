"""Stories: a cluster driven by lines a person can read, write and paste.

    people ann bob            who there is; they are friends, and all in one group
    ann on node-1             a device of Ann's, put through to that node; the first is ann-1
    ann-1 says bob: hello     to a friend
    ann-1 says all: hello     to the group
    ann-1 joins, leaves, ends             the group
    ann-1 befriends bob, unfriends bob, blocks bob, unblocks bob
    ann-1 looks               asks for all there is to know
    ann-1 sleeps, ann-1 wakes
    stranger on node-1: ...   a connection of nobody's, which says that line, whatever it is

    reset ann-1               the connection is gone, and both ends hear of it
    break ann-1 after 20      the same, once 20 bytes more have come; break node of ann-1 after 20
    half-open ann-1           only the node hears of it; half-open node of ann-1: only the client
    stop ann-1, go ann-1      the connection carries nothing; carries again
    stop ann-1 up             nothing from the client; stop ann-1 down: nothing to it
    slow ann-1, fast ann-1    the client reads slowly; as fast as it comes
    crash node-1, start node-1, pause node-1, resume node-1, drain node-1
    jump node-1 60000         its clock is set ahead by so many ms
    stop store, start store, stop bus, start bus
    cut store node-1, mend store node-1, cut bus node-1, mend bus node-1
    deafen node-1             it hears nothing of the bus; mute node-1: it is not heard there
    lose replies, keep replies        of commits, to the node that asked
    lose envelopes, keep envelopes
    slow reads, fast reads            of the store: a second longer on their way; no longer
    strike KIND               a fault of sim/faults/injectors.py; strike KIND at ann-1, at node-1
    begin KIND, end KIND      a fault that does not strike: store_deadlock, envelope_stale, delay
    wait 500                  ms pass
    heal                      everything works again, and within a minute all must be well

`Story.do` carries a line out and gives what the people saw meanwhile, a line each. Violations of
the contract are raised as they are in any run.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from chat.client.session import interface as io
from chat.core.ports import operations as op
from chat.protocol import messages as wire
from sim.checkers import Violation
from sim.cluster.cluster import Cluster
from sim.cluster.device import SimDevice
from sim.cluster.host import Host
from sim.cluster.network import Manners, Wire
from sim.cluster.world import START_MS
from sim.faults.injection_points import Place
from sim.faults.injectors import NOWHERE, STRIKES
from sim.faults.swarm import KINDS, Faults
from sim.run import Report, check_end, check_healed

NODES: Final = 2
SLOW_READ_MS: Final = 1_000
MUCH: Final = 3.0
"""How severe a fault is that a story begins: so that it strikes in a few lines."""
STRANGER: Final = "stranger"
RATES: Final = tuple(kind for kind in KINDS if kind not in STRIKES and kind != "hostile_bytes")
"""The kinds of faults that a story may begin and end."""


class Story:
    """One cluster of two nodes, and the lines that were done."""

    def __init__(self, seed: int = 0, *, keep_trace: bool = False) -> None:
        self.cluster = Cluster(seed, nodes=NODES, devices=0, keep_trace=keep_trace)
        self._faults = Faults(self.cluster, [])
        self.cluster.manners = Manners(latency_ms=(1, 1), fragments=0.0)
        self.cluster.seen = self._saw
        self.done: list[str] = []
        self._output: list[str] = []
        self._names: dict[int, str] = {}
        self._verbs: list[tuple[str, Callable[..., None]]] = [
            (r"people (.+)", self._people),
            (r"(\w+) on (node-\d)", self._device),
            (r"(\S+) says all: (.+)", self._say_all),
            (r"(\S+) says (\w+): (.+)", self._say),
            (r"(\S+) (joins|leaves|ends|looks)", self._ask),
            (r"(\S+) (befriends|unfriends|blocks|unblocks) (\w+)", self._ask_about),
            (r"(\S+) (sleeps|wakes)", self._sleep),
            (r"stranger on (node-\d): (.*)", self._stranger),
            (r"(reset|half-open|half-open node of) (\S+-\d+)", self._break),
            (r"break (node of )?(\S+-\d+) after (\d+)", self._break_after),
            (r"(stop|go) (\w+-\d+)( up| down)?", self._stop),
            (r"(slow|fast) (\w+-\d+)", self._slow),
            (r"(crash|start|pause|resume|drain) (node-\d)", self._host_verb),
            (r"jump (node-\d) (\d+)", self._jump),
            (r"(stop|start) (store|bus)", self._server),
            (r"(cut|mend) (store|bus) (node-\d)", self._cut),
            (r"(deafen|mute) (node-\d)", self._cut_one_way),
            (r"(lose|keep) (replies|envelopes)", self._lose),
            (r"(slow|fast) reads", self._read),
            (r"strike (\w+)(?: at (\S+-\d+))?", self._strike),
            (r"(begin|end) (\w+)", self._begin),
            (r"wait (\d+)", self._wait),
            (r"heal", self._heal),
        ]

    def do(self, line: str) -> list[str]:
        """Carries a line out. What was seen by the people since the last line."""
        self.done.append(line)
        for pattern, act in self._verbs:
            found = re.fullmatch(pattern, line)
            if found:
                act(*found.groups())
                output, self._output = self._output, []
                return output
        raise ValueError(f"{line!r} is no line of a story")

    def text(self) -> str:
        """The lines that were done: a story to paste."""
        return "\n".join(f"> {line}" for line in self.done)

    def program(self) -> str:
        """The same as a command to paste into a shell."""
        return f"python -m sim story - <<'END'\n{self.text()}\nEND"

    # ------------------------------------------------------------------ what is seen

    def _saw(self, device: SimDevice, effect: io.AnyEffect) -> None:
        if isinstance(effect, io.EntryApplied):
            entry = effect.entry
            what = entry.text if entry.kind == "text" else str(entry.kind)
            place = f"{effect.conversation}/{entry.seq}"
            self._output.append(f"{device.name} sees {place} {entry.from_.name}: {what}")
        elif isinstance(effect, io.SendSettled):
            text = device.said[effect.ref].text
            self._output.append(f"{device.name} sent {effect.conversation}/{effect.seq} {text}")
        elif isinstance(effect, io.SendFailed):
            self._output.append(f"{device.name} could not send {effect.text}: {effect.code}")
        elif isinstance(effect, io.LoggedIn):
            self._output.append(f"{device.name} is {'back' if effect.again else 'logged in'}")
        elif isinstance(effect, io.GroupAdded):
            self._output.append(f"{device.name} is in the group {effect.group.name}")
        elif isinstance(effect, io.GroupRemoved):
            self._output.append(f"{device.name} is not in the group {effect.group.name} any more")
        elif isinstance(effect, io.FriendAdded):
            self._output.append(f"{device.name} has the friend {effect.friend.name}")
        elif isinstance(effect, io.FriendRemoved):
            self._output.append(f"{device.name} has lost the friend {effect.friend.name}")
        elif isinstance(effect, io.ConnectionState) and effect.state is io.Link.WAITING:
            self._output.append(f"{device.name} lost its connection")

    # ------------------------------------------------------------------ people and devices

    def _people(self, names: str) -> None:
        if self.cluster.user_ids or len(set(names.split())) < 2:
            raise ValueError("there are people once, and at least two of them")
        self.cluster.found(names.split())
        self._names = {number: name for name, number in self.cluster.user_ids.items()}

    def _device(self, user: str, node: str) -> None:
        self._user(user)
        self.cluster.only_node = self._host(node)
        self.cluster.add_device(user)
        self.cluster.world.run_for(200)

    def _of(self, name: str) -> SimDevice:
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
            raise ValueError(f"there is nobody called {name!r}")
        return self.cluster.user_ids[name]

    def _say(self, device: str, to: str, text: str) -> None:
        self._of(device).say(("user", self._user(to)), text)
        self.cluster.world.run_for(0)

    def _say_all(self, device: str, text: str) -> None:
        self._of(device).say(("group", self.cluster.groups[0]), text)
        self.cluster.world.run_for(0)

    def _ask(self, device: str, what: str) -> None:
        group = self.cluster.groups[0]
        requests: dict[str, io.Question] = {
            "joins": wire.JoinGroupRequest(id=0, group=group),
            "leaves": wire.LeaveGroupRequest(id=0, group=group),
            "ends": wire.DeleteGroupRequest(id=0, group=group),
            "looks": wire.SnapshotRequest(id=0),
        }
        self._of(device).ask(requests[what])

    def _ask_about(self, device: str, what: str, name: str) -> None:
        user = self._user(name)
        requests: dict[str, io.Question] = {
            "befriends": wire.AddFriendRequest(id=0, user=user),
            "unfriends": wire.RemoveFriendRequest(id=0, user=user),
            "blocks": wire.BlockRequest(id=0, user=user),
            "unblocks": wire.UnblockRequest(id=0, user=user),
        }
        self._of(device).ask(requests[what])

    def _sleep(self, device: str, what: str) -> None:
        if what == "sleeps":
            self._of(device).switch_off()
        else:
            self._of(device).switch_on()

    def _stranger(self, node: str, line: str) -> None:
        wire_of = Wire(self.cluster.world, STRANGER, self.cluster.manners)
        self.cluster.wires.append(wire_of)
        self._host(node).accept(wire_of, "198.51.100.1")
        wire_of.up.write(line.encode() + b"\n")

    # ------------------------------------------------------------------ trouble

    def _break(self, how: str, device: str) -> None:
        wire_of = self._of(device).wire
        if wire_of is not None:
            wire_of.reset(client_hears=how != "half-open", node_hears=how != "half-open node of")

    def _break_after(self, node: str | None, device: str, count: str) -> None:
        wire_of = self._of(device).wire
        if wire_of is not None:
            wire_of.break_after(max(1, int(count)), up=node is not None)

    def _stop(self, how: str, device: str, way: str | None) -> None:
        wire_of = self._of(device).wire
        if wire_of is None:
            return
        ways = {None: (wire_of.up, wire_of.down), " up": (wire_of.up,), " down": (wire_of.down,)}
        for pipe in ways[way]:
            if how == "stop":
                pipe.stopped = True
            else:
                pipe.resume()

    def _slow(self, how: str, device: str) -> None:
        wire_of = self._of(device).wire
        if wire_of is not None:
            wire_of.down.bytes_per_ms = 1 if how == "slow" else None
            if how == "fast":
                wire_of.down.resume()

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
            host.port.cut_off(hears=verb == "mute", is_heard=verb == "deafen")

    def _lose(self, verb: str, what: str) -> None:
        likely = 1.0 if verb == "lose" else 0.0
        if what == "replies":
            self.cluster.store.faults.lost_reply = likely
        else:
            self.cluster.bus.faults.lost = likely

    def _read(self, how: str) -> None:
        wait_ms = SLOW_READ_MS if how == "slow" else 0
        self.cluster.store.faults.read_ms = (wait_ms, wait_ms)

    def _strike(self, kind: str, party: str | None) -> None:
        if kind not in STRIKES:
            raise ValueError(f"there is no strike {kind!r}, there are {', '.join(sorted(STRIKES))}")
        place = NOWHERE
        if party is not None and party.startswith("node-"):
            place = Place(self._host(party).name)
        elif party is not None:
            wire_of = self._of(party).wire
            homes = [h.name for h in self.cluster.hosts if wire_of in h.wires.values()]
            if not homes:
                return
            place = Place(homes[0], wire=wire_of)
        self._faults.carry_out(kind, place)

    def _begin(self, verb: str, kind: str) -> None:
        if kind not in RATES:
            raise ValueError(f"there is no lasting fault {kind!r}, there are {', '.join(RATES)}")
        self._faults.set_rate(kind, MUCH if verb == "begin" else 0.0)
        for wire_of in self.cluster.wires:
            wire_of.up.manners = wire_of.down.manners = self.cluster.manners

    # ------------------------------------------------------------------ time

    def _wait(self, ms: str) -> None:
        self.cluster.world.run_for(int(ms))

    def _heal(self) -> None:
        self.cluster.only_node = None
        self._faults.heal()
        check_healed(self.cluster, presence_counts=True)
        check_end(self.cluster)

    def report(self, violation: Violation | None) -> Report:
        """What there is to draw, if the trace was kept."""
        cluster = self.cluster
        said = [one for device in cluster.devices for one in device.said.values()]
        runs = [run for device in cluster.devices for run in device.applied.values()]
        return Report(
            seed=cluster.world.seed,
            simulated_ms=cluster.world.now_ms - START_MS,
            events=cluster.world.events,
            acked=sum(1 for one in said if one.settled is not None),
            applied=sum(map(len, runs)),
            faults=self._faults.counts(),
            trace_hash=cluster.trace.hexdigest(),
            violation=violation,
            trace=cluster.trace,
        )

    def log(self) -> list[str]:
        """The group's log, as the store has it."""
        read = self.cluster.ask_store(op.ReadLog(self.cluster.groups[0], 0, 1_000))
        assert isinstance(read, op.LogRead)
        return [f"{entry.seq} {entry.sender_name}: {entry.text}" for entry in read.entries]


def transcript(story: Story, text: str) -> Iterator[str]:
    """Does the lines that begin with "> ", and gives each with what is seen after it; comments and
    empty lines as they are; and the group's log at the end. Other lines are passed over."""
    for line in text.splitlines():
        if line.startswith(("#", ">")) or not line:
            yield line
        if line.startswith("> "):
            yield from story.do(line[2:])
    if story.cluster.groups:
        yield "log:"
        yield from story.log()
