"""How many open requests and groups one user may have."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest

from chat.core.ports.operations import (
    AddFriend,
    Block,
    CreateGroup,
    DeleteGroup,
    FriendshipChanged,
    GroupChanged,
    JoinGroup,
    LeaveGroup,
    LimitReached,
    Refused,
    RemoveFriend,
    StoreOperation,
    StoreOutcome,
    UserLimit,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.rules import LIMITS
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import MySqlAddress
from chat.storage.dispatch import execute
from chat.storage.retries import TransactionExecutor
from chat.storage.schema import migrate
from tests.storage.stores import (
    FREE,
    NOW_MS,
    befriend,
    make_group,
    read_all,
    refused,
    register,
    register_users,
    roster,
)

MOST = 3


def reached(limit: UserLimit, most: int = MOST) -> Refused:
    return Refused(ErrorCode.LIMIT_REACHED, LimitReached(limit, most))


def ask(user: int, other: int, made: int = FREE, received: int = FREE) -> AddFriend:
    return AddFriend(user, other, NOW_MS, most_made=made, most_received=received)


def create(user: int, owned: int = FREE, joined: int = FREE) -> CreateGroup:
    return CreateGroup(user, "den", "", NOW_MS, most_owned=owned, most_joined=joined)


class OneMore(NamedTuple):
    """One more of what is limited: how a user comes to have it, and how it is given up."""

    limit: UserLimit
    add: Callable[[DatabaseConnection, int], StoreOperation]
    give_up: Callable[[DatabaseConnection, int, StoreOperation, StoreOutcome], StoreOperation]


def leave(
    store: DatabaseConnection, user: int, operation: StoreOperation, outcome: StoreOutcome
) -> LeaveGroup:
    assert isinstance(outcome, GroupChanged)
    return LeaveGroup(user, outcome.group, NOW_MS)


def decline(
    store: DatabaseConnection, user: int, operation: StoreOperation, outcome: StoreOutcome
) -> RemoveFriend:
    assert isinstance(operation, AddFriend)
    return RemoveFriend(operation.other if isinstance(operation.other, int) else 0, operation.user)


_names = iter(range(1_000_000))


def another(store: DatabaseConnection) -> int:
    return register(store, f"user-{next(_names)}")


ONE_MORE = (
    OneMore(
        UserLimit.OPEN_REQUESTS_MADE, lambda store, user: ask(user, another(store), MOST), decline
    ),
    OneMore(
        UserLimit.OPEN_REQUESTS_RECEIVED,
        lambda store, user: ask(another(store), user, received=MOST),
        decline,
    ),
    OneMore(UserLimit.GROUPS_OWNED, lambda store, user: create(user, owned=MOST), leave),
    OneMore(UserLimit.GROUPS_JOINED, lambda store, user: create(user, joined=MOST), leave),
    OneMore(
        UserLimit.GROUPS_JOINED,
        lambda store, user: JoinGroup(user, make_group(store, another(store)), NOW_MS, MOST),
        leave,
    ),
)


def test_the_limits_of_operations_are_those_of_the_spec() -> None:
    for limit in UserLimit:
        assert getattr(LIMITS, limit.value) > 0
    add, made, join = AddFriend(1, 2, 0), CreateGroup(1, "", "", 0), JoinGroup(1, 2, 0)
    assert (add.most_made, add.most_received, made.most_owned, made.most_joined) == (
        LIMITS.open_requests_made,
        LIMITS.open_requests_received,
        LIMITS.groups_owned,
        LIMITS.groups_joined,
    )
    assert join.most_joined == LIMITS.groups_joined


@pytest.mark.parametrize("one_more", ONE_MORE, ids=lambda one_more: one_more.limit)
def test_as_many_as_the_limit_and_no_more(store: DatabaseConnection, one_more: OneMore) -> None:
    user = another(store)
    befriend(store, user, another(store))
    done: list[tuple[StoreOperation, StoreOutcome]] = []
    for _ in range(MOST):
        operation = one_more.add(store, user)
        done.append((operation, execute(store, operation)))
        assert not isinstance(done[-1][1], Refused)
    for _ in range(2):
        before = roster(store, user)
        assert execute(store, one_more.add(store, user)) == reached(one_more.limit)
        assert roster(store, user) == before
    given_up = execute(store, one_more.give_up(store, user, *done[1]))
    assert not isinstance(given_up, Refused)
    assert not isinstance(execute(store, one_more.add(store, user)), Refused)
    assert execute(store, one_more.add(store, user)) == reached(one_more.limit)


def test_a_friend_is_never_refused_for_a_limit(store: DatabaseConnection) -> None:
    """To accept ends a request, and to ask again changes nothing."""
    ann, bob, cyd = register_users(store, 3)
    execute(store, ask(ann, bob))
    assert execute(store, ask(ann, bob, made=0, received=0)) == FriendshipChanged(())
    accepted = execute(store, ask(bob, ann, made=0, received=0))
    assert isinstance(accepted, FriendshipChanged)
    assert len(accepted.changes) == 2
    execute(store, RemoveFriend(ann, bob))
    execute(store, ask(ann, cyd))
    assert execute(store, ask(ann, bob, made=1)) == reached(UserLimit.OPEN_REQUESTS_MADE, 1)


def test_friends_and_conversations_of_two_do_not_count(store: DatabaseConnection) -> None:
    user = another(store)
    for _ in range(MOST + 2):
        befriend(store, user, another(store))
    assert not isinstance(execute(store, ask(user, another(store), made=1)), Refused)
    assert not isinstance(execute(store, ask(another(store), user, received=1)), Refused)
    assert not isinstance(execute(store, create(user, owned=1, joined=1)), Refused)


def test_what_is_forbidden_is_told_before_a_limit(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    group = make_group(store, ann, bob)
    execute(store, Block(bob, ann))
    assert execute(store, ask(ann, bob, made=0)) == refused("blocked")
    assert execute(store, JoinGroup(bob, group, NOW_MS, 0)) == refused("already_member")
    execute(store, DeleteGroup(ann, group, NOW_MS))
    assert execute(store, JoinGroup(bob, group, NOW_MS, 0)) == refused("no_such_group")


def test_a_group_is_inherited_over_the_limit(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    for _ in range(MOST):
        execute(store, create(bob, owned=MOST))
    group = make_group(store, ann, bob)
    execute(store, LeaveGroup(ann, group, NOW_MS))
    owned = [one for one in roster(store, bob).groups if one.role == "owner"]
    assert len(owned) == MOST + 1
    assert execute(store, create(bob, owned=MOST)) == reached(UserLimit.GROUPS_OWNED)
    execute(store, LeaveGroup(bob, group, NOW_MS))
    assert execute(store, create(bob, owned=MOST)) == reached(UserLimit.GROUPS_OWNED)


def test_a_group_that_is_refused_leaves_no_trace(store: DatabaseConnection) -> None:
    ann, bob = register_users(store, 2)
    group = make_group(store, ann)
    assert execute(store, create(bob, owned=0)) == reached(UserLimit.GROUPS_OWNED, 0)
    assert execute(store, JoinGroup(bob, group, NOW_MS, 0)) == reached(UserLimit.GROUPS_JOINED, 0)
    assert [entry.sender for entry in read_all(store, group)] == [ann]
    assert store.query("SELECT COUNT(*) FROM conversations") == [(1,)]


# ------------------------------------------------------------------ nodes at once

NODES = 4
EACH = 5


@pytest.mark.servers
@pytest.mark.parametrize("one_more", ONE_MORE, ids=lambda one_more: one_more.limit)
def test_nodes_at_once_do_not_exceed_a_limit(database: str, one_more: OneMore) -> None:
    """Each of them finds the last free place; one of them gets it."""
    address = MySqlAddress.parse(database)
    store = open_mysql(address)
    migrate(store)
    user = another(store)
    operations = [[one_more.add(store, user) for _ in range(EACH)] for _ in range(NODES)]
    outcomes: list[StoreOutcome] = []
    start = threading.Barrier(NODES)

    def node(number: int) -> None:
        executor = TransactionExecutor(lambda: open_mysql(address))
        executor.use(open_mysql(address))
        start.wait()
        for operation in operations[number]:
            outcomes.extend(executor.write([operation]))
        executor.disconnect()

    threads = [threading.Thread(target=node, args=(number,)) for number in range(NODES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    done = [outcome for outcome in outcomes if not isinstance(outcome, Refused)]
    assert len(done) == MOST
    assert outcomes.count(reached(one_more.limit)) == NODES * EACH - MOST
