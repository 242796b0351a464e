"""Texts to one receiver and to a group, on nodes and on the baselines."""

from collections.abc import Sequence
from typing import Final

from bench.load.baselines import irc_flow, relay_flow
from bench.load.peer import Chat, Peer, log_in
from bench.load.traffic import Flow, Traffic
from bench.results.comparison import Target, compare
from bench.results.figures import Figure
from bench.targets.bare_mysql import BATCH, BareMySql
from bench.targets.environment import MYSQL, Environment
from bench.targets.fixtures import add_friends, add_group, add_users, token
from bench.targets.servers import Ngircd, Relay, has_ngircd
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
    """A logged-in device; every line it receives is checked."""
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


async def direct(environment: Environment) -> list[Figure]:
    """10 pairs of friends; one of each pair sends, the other receives."""
    with environment.scope() as scope:
        targets = []
        for store in environment.stores:
            node = environment.node(environment.new_store(store, fill_pairs))
            flows = await pair_flows(node.port, node.port)
            targets.append(Target(f"node, {store}", Traffic(flows, environment.pids(node, store))))
            if store == MYSQL:
                targets += bare_mysql(environment)
        targets += await _baselines(environment, pairs=len(PAIRS), receivers=1)
        for one in targets:
            if isinstance(one.load, Traffic):
                scope.callback(one.load.close)
        return [
            figure
            for outstanding in (1, 32)
            for figure in await compare(
                f"direct, 10 pairs × {outstanding}", targets, outstanding, environment.scale
            )
        ]


async def group(environment: Environment) -> list[Figure]:
    """One member of a group of 100 sends; the rate counts deliveries to the other 99."""
    with environment.scope() as scope:
        targets = []
        for store in environment.stores:
            node = environment.node(environment.new_store(store, fill_group))
            flow = await group_flow(node.port, GROUP, MEMBERS)
            targets.append(Target(f"node, {store}", Traffic([flow], environment.pids(node, store))))
        targets += await _baselines(environment, pairs=1, receivers=len(MEMBERS) - 1)
        for one in targets:
            if isinstance(one.load, Traffic):
                scope.callback(one.load.close)
        return [
            figure
            for outstanding in (1, 8)
            for figure in await compare(
                f"group of 100 × {outstanding}", targets, outstanding, environment.scale
            )
        ]


async def _baselines(environment: Environment, *, pairs: int, receivers: int) -> list[Target]:
    relay = environment.start(Relay)
    flows = [await relay_flow(relay.port, f"p{n}", receivers) for n in range(pairs)]
    targets = [Target("relay", Traffic(flows, {"relay": relay.pid}))]
    if has_ngircd():
        irc = environment.start(Ngircd)
        flows = [await irc_flow(irc.port, f"p{n}", receivers) for n in range(pairs)]
        targets.append(Target("ngircd", Traffic(flows, {"ngircd": irc.pid})))
    return targets


def bare_mysql(environment: Environment) -> list[Target]:
    """Bare transactions of 1 text and of BATCH texts."""
    mysqld = environment.mariadb.pid
    return [
        Target(target, BareMySql(environment.new_store(MYSQL, fill_pairs), batch, mysqld))
        for target, batch in (("PyMySQL, one", 1), (f"PyMySQL, {BATCH}", BATCH))
    ]


async def two_nodes(environment: Environment) -> list[Figure]:
    """The pairs of `direct` with sender and receiver on different nodes, on MySQL and Redis.

    Compared with one node on MySQL and Redis, and one node on MySQL alone.
    """
    with environment.scope() as scope:
        targets = []
        for target, count, has_redis in (
            ("one node", 1, False),
            ("one node, redis", 1, True),
            ("two nodes, redis", 2, True),
        ):
            url = environment.new_store(MYSQL, fill_pairs)
            flags: tuple[str, ...] = ()
            pids = {"mariadbd": environment.mariadb.pid}
            if has_redis:
                # One Redis a cluster: every cluster has the same user ids and so the same channels.
                redis = environment.start_redis()
                flags = ("--bus", redis.url)
                pids["redis"] = redis.pid
            nodes = [
                environment.node(url, *flags, "--name", f"node-{n}") for n in range(1, count + 1)
            ]
            pids = {f"node {n}": node.pid for n, node in enumerate(nodes, 1)} | pids
            traffic = Traffic(await pair_flows(nodes[0].port, nodes[-1].port), pids)
            scope.callback(traffic.close)
            targets.append(Target(f"{target}, mysql", traffic))
        return [
            figure
            for outstanding in (1, 32)
            for figure in await compare(
                f"two nodes, 10 pairs × {outstanding}", targets, outstanding, environment.scale
            )
        ]
