"""What a request costs in the store does not grow with what its users already have."""

from collections.abc import Callable

from chat.core.ports.operations import (
    AddFriend,
    Block,
    CreateGroup,
    DeleteGroup,
    JoinGroup,
    LeaveGroup,
    Refused,
    RemoveFriend,
    RenameGroup,
    StoreOperation,
    Unblock,
)
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.backends.sqlite import SqliteConnection
from chat.storage.dispatch import execute
from chat.storage.transactions import friendships, groups
from tests.storage.stores import NOW_MS, befriend, make_group, register

FEW, MANY = 5, 500
SLACK = 1.1
"""A B-tree of many rows is deeper than one of few."""

Request = Callable[[DatabaseConnection, int, int], StoreOperation]
"""Of a user and another user."""


def rows_handled(store: DatabaseConnection) -> int:
    """How many rows the engine has read and written in this session."""
    rows = store.query("SHOW SESSION STATUS LIKE 'Handler%'")
    wanted = ("Handler_read", "Handler_write", "Handler_update", "Handler_delete")
    return sum(int(count) for name, count in rows if name.startswith(wanted))


def work(store: DatabaseConnection, operation: StoreOperation) -> int:
    """How much an operation, which must not be refused, takes: in SQLite, steps of its virtual
    machine; in MariaDB, rows that the engine handles."""
    steps = 0
    if isinstance(store, SqliteConnection):

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        store._db.set_progress_handler(step, 1)
        outcome = execute(store, operation)
        store._db.set_progress_handler(None, 0)
    else:
        before = rows_handled(store)
        counting = rows_handled(store) - before
        outcome = execute(store, operation)
        steps = rows_handled(store) - before - 2 * counting
    assert not isinstance(outcome, Refused), outcome
    return steps


def user_who_has(store: DatabaseConnection, name: str, count: int, other: int) -> int:
    """A user with that many friends, groups of the user's own, groups of `other`, and requests
    made and received."""
    user = register(store, name)
    others = [register(store, f"{name}-{number}") for number in range(3 * count)]
    friends, asked, asking = (others[start::3] for start in range(3))

    def fill() -> None:
        for friend in friends:
            friendships.add_friend(store, AddFriend(user, friend, NOW_MS))
            friendships.add_friend(store, AddFriend(friend, user, NOW_MS))
        for one, two in zip(asked, asking, strict=True):
            friendships.add_friend(store, AddFriend(user, one, NOW_MS))
            friendships.add_friend(store, AddFriend(two, user, NOW_MS))
        for number in range(count):
            groups.create_group(store, CreateGroup(user, f"own {number}", "", NOW_MS))
            joined = groups.create_group(store, CreateGroup(other, f"other {number}", "", NOW_MS))
            groups.join_group(store, JoinGroup(user, joined.group, NOW_MS))

    in_transaction(store, fill, write=True)
    if not isinstance(store, SqliteConnection):
        store.query("ANALYZE TABLE users, conversations, members, friendships, blocks")
    return user


REQUESTS: dict[str, Request] = {
    "create": lambda store, user, other: CreateGroup(user, "new", "", NOW_MS),
    "join": lambda store, user, other: JoinGroup(user, make_group(store, other), NOW_MS),
    "leave": lambda store, user, other: LeaveGroup(user, make_group(store, user, other), NOW_MS),
    "inherit": lambda store, user, other: LeaveGroup(other, make_group(store, other, user), NOW_MS),
    "rename": lambda store, user, other: RenameGroup(
        user, make_group(store, user, other), "new", None, NOW_MS
    ),
    "delete": lambda store, user, other: DeleteGroup(other, make_group(store, other, user), NOW_MS),
    "ask": lambda store, user, other: AddFriend(user, other, NOW_MS),
    "be asked": lambda store, user, other: AddFriend(other, user, NOW_MS),
    "accept": lambda store, user, other: asked(store, other, user),
    "remove": lambda store, user, other: friends(store, other, user),
    "block": lambda store, user, other: Block(user, other),
    "unblock": lambda store, user, other: Unblock(user, other),
}


def asked(store: DatabaseConnection, asking: int, user: int) -> AddFriend:
    execute(store, AddFriend(asking, user, NOW_MS))
    return AddFriend(user, asking, NOW_MS)


def friends(store: DatabaseConnection, one: int, user: int) -> RemoveFriend:
    befriend(store, one, user)
    return RemoveFriend(user, one)


def test_a_request_costs_as_much_for_a_user_who_has_much(store: DatabaseConnection) -> None:
    owner = register(store, "owner")
    few = user_who_has(store, "few", FEW, owner)
    many = user_who_has(store, "many", MANY, owner)
    for kind, request in REQUESTS.items():
        costs = []
        for user in (few, many):
            other = register(store, f"{kind}-{user}")
            operation = request(store, user, other)
            costs.append(work(store, operation))
        assert costs[1] <= SLACK * costs[0], f"{kind}: {costs}"
