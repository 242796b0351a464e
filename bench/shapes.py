"""Texts from one to one and from one to many, beside the baselines."""

from collections.abc import Sequence
from typing import Final

from bench.bare_mysql import BATCH, BareMySql
from bench.baselines import irc_flow, relay_flow
from bench.comparison import Contestant, compare
from bench.figures import Figure
from bench.fixtures import add_friends, add_group, add_users, token
from bench.peer import Chat, Peer, log_in
from bench.stage import MYSQL, Stage
from bench.targets import Ngircd, Relay, has_ngircd
from bench.traffic import Flow, Traffic
from chat.storage.backends.connection import DatabaseConnection

PAIRS: Final = [(2 * n + 1, 2 * n + 2) for n in range(10)]
GROUP: Final = 1_000
MEMBERS: Final = range(101, 201)


def fill_pairs(connection: DatabaseConnection) -> None:
    add_users(connection, 1, 2 * len(PAIRS))
    add_friends(connection, PAIRS, 1)


def fill_group(connection: DatabaseConnection) -> None:
    add_users(connection, MEMBERS[0], len(MEMBERS))
    add_group(connection, GROUP, MEMBERS)


async def device(port: int, user: int, kind: str = "chat") -> Peer:
    """A logged-in device whose every line is checked from now on."""
    peer = await log_in(Chat(kind, f"{user}-"), port, token(user))
    peer.begin()
    return peer


async def pair_flows(
    sender_port: int, receiver_port: int, pairs: Sequence[tuple[int, int]] = PAIRS
) -> list[Flow]:
    return [
        Flow(
            await device(sender_port, sender),
            [await device(receiver_port, receiver)],
            receiver,
            wants_replies=True,
        )
        for sender, receiver in pairs
    ]


async def group_flow(port: int, group: int, users: Sequence[int]) -> Flow:
    sender, *receivers = [await device(port, user, "group_chat") for user in users]
    return Flow(sender, receivers, group, wants_replies=True)


async def direct(stage: Stage) -> list[Figure]:
    """10 pairs of friends, one of each writes to the other."""
    with stage.scene() as scene:
        contestants = []
        for store in stage.stores:
            node = stage.node(stage.new_store(store, fill_pairs))
            flows = await pair_flows(node.port, node.port)
            contestants.append(
                Contestant(f"node, {store}", Traffic(flows, stage.pids(node, store)))
            )
            if store == MYSQL:
                contestants += bare_mysql(stage)
        contestants += await _baselines(stage, pairs=len(PAIRS), receivers=1)
        for one in contestants:
            if isinstance(one.runs, Traffic):
                scene.callback(one.runs.close)
        return [
            figure
            for outstanding in (1, 32)
            for figure in await compare(
                f"direct, 10 pairs × {outstanding}", contestants, outstanding, stage.scale
            )
        ]


async def group(stage: Stage) -> list[Figure]:
    """One of a group of 100 writes to all others; rates are deliveries."""
    with stage.scene() as scene:
        contestants = []
        for store in stage.stores:
            node = stage.node(stage.new_store(store, fill_group))
            flow = await group_flow(node.port, GROUP, MEMBERS)
            contestants.append(
                Contestant(f"node, {store}", Traffic([flow], stage.pids(node, store)))
            )
        contestants += await _baselines(stage, pairs=1, receivers=len(MEMBERS) - 1)
        for one in contestants:
            if isinstance(one.runs, Traffic):
                scene.callback(one.runs.close)
        return [
            figure
            for outstanding in (1, 8)
            for figure in await compare(
                f"group of 100 × {outstanding}", contestants, outstanding, stage.scale
            )
        ]


async def _baselines(stage: Stage, *, pairs: int, receivers: int) -> list[Contestant]:
    relay = stage.start(Relay)
    flows = [await relay_flow(relay.port, f"p{n}", receivers) for n in range(pairs)]
    contestants = [Contestant("relay", Traffic(flows, {"relay": relay.pid}))]
    if has_ngircd():
        irc = stage.start(Ngircd)
        flows = [await irc_flow(irc.port, f"p{n}", receivers) for n in range(pairs)]
        contestants.append(Contestant("ngircd", Traffic(flows, {"ngircd": irc.pid})))
    return contestants


def bare_mysql(stage: Stage) -> list[Contestant]:
    """One text a transaction, and 256."""
    mysqld = stage.mariadb.pid
    return [
        Contestant(subject, BareMySql(stage.new_store(MYSQL, fill_pairs), batch, mysqld))
        for subject, batch in (("PyMySQL, one", 1), (f"PyMySQL, {BATCH}", BATCH))
    ]


async def two_nodes(stage: Stage) -> list[Figure]:
    """The pairs again, the two of each on different nodes; MySQL and Redis between them. Beside it
    one node on the same, and one that has no Redis."""
    with stage.scene() as scene:
        contestants = []
        for subject, count, has_redis in (
            ("one node", 1, False),
            ("one node, redis", 1, True),
            ("two nodes, redis", 2, True),
        ):
            url = stage.new_store(MYSQL, fill_pairs)
            flags: tuple[str, ...] = ()
            pids = {"mariadbd": stage.mariadb.pid}
            if has_redis:
                # Of its own: channels are named by users, who are the same in each cluster.
                redis = stage.start_redis()
                flags = ("--bus", redis.url)
                pids["redis"] = redis.pid
            nodes = [stage.node(url, *flags, "--name", f"node-{n}") for n in range(1, count + 1)]
            pids = {f"node {n}": node.pid for n, node in enumerate(nodes, 1)} | pids
            traffic = Traffic(await pair_flows(nodes[0].port, nodes[-1].port), pids)
            scene.callback(traffic.close)
            contestants.append(Contestant(f"{subject}, mysql", traffic))
        return [
            figure
            for outstanding in (1, 32)
            for figure in await compare(
                f"two nodes, 10 pairs × {outstanding}", contestants, outstanding, stage.scale
            )
        ]
