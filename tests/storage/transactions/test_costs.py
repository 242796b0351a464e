"""What a request costs in the store does not grow with what its users already have, but for what is
counted because it is limited; and no more than the limit is counted."""

from collections.abc import Callable

from chat.core.ports.operations import (
    AddFriend,
    Block,
    CreateGroup,
    CreateUser,
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
from chat.storage.transactions import accounts, friendships, groups
from tests.storage.stores import FREE, NOW_MS, make_group, register

FEW = 5
SLACK = 1.1
"""A B-tree of many rows is deeper than one of few."""
PER_COUNTED = 9
"""How much more it is for each row that is counted in an index."""

Request = Callable[[DatabaseConnection, int, int], StoreOperation]
"""Of a user and another user."""


def many_of(store: DatabaseConnection) -> int:
    """Fewer where each statement is a round trip."""
    return 500 if isinstance(store, SqliteConnection) else 100


def rows_handled(store: DatabaseConnection) -> int:
    """How many rows the engine has read and written in this session."""
    rows = store.query("SHOW SESSION STATUS LIKE 'Handler%'")
    wanted = ("Handler_read", "Handler_write", "Handler_update", "Handler_delete")
    return sum(int(count) for name, count in rows if name.startswith(wanted))


def work(store: DatabaseConnection, operation: StoreOperation, *, is_refused: bool = False) -> int:
    """How much an operation takes: in SQLite, steps of its virtual
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
    assert isinstance(outcome, Refused) == is_refused, outcome
    return steps


def user_who_has(store: DatabaseConnection, name: str, count: int, other: int) -> int:
    """A user with that many friends, groups of the user's own, groups of `other`, and requests
    made and received."""
    user = register(store, name)

    def fill() -> None:
        made = [CreateUser(f"{name}-{number}", "", NOW_MS) for number in range(3 * count)]
        others = [accounts.create_user(store, one).user.id for one in made]
        friends, asked, asking = (others[start::3] for start in range(3))
        for friend in friends:
            friendships.add_friend(store, AddFriend(user, friend, NOW_MS, FREE, FREE))
            friendships.add_friend(store, AddFriend(friend, user, NOW_MS))
        for one, two in zip(asked, asking, strict=True):
            friendships.add_friend(store, AddFriend(user, one, NOW_MS, FREE, FREE))
            friendships.add_friend(store, AddFriend(two, user, NOW_MS, FREE, FREE))
        for number in range(count):
            groups.create_group(store, CreateGroup(user, f"own {number}", "", NOW_MS, FREE, FREE))
            others_group = CreateGroup(other, f"other {number}", "", NOW_MS, FREE, FREE)
            joined = groups.create_group(store, others_group)
            groups.join_group(store, JoinGroup(user, joined.group, NOW_MS, FREE))

    in_transaction(store, fill, write=True)
    if not isinstance(store, SqliteConnection):
        store.query("ANALYZE TABLE users, conversations, members, friendships, blocks")
    return user


REQUESTS: dict[str, Request] = {
    "create": lambda store, user, other: CreateGroup(user, "new", "", NOW_MS, FREE, FREE),
    "join": lambda store, user, other: JoinGroup(user, make_group(store, other), NOW_MS, FREE),
    "leave": lambda store, user, other: LeaveGroup(user, make_group(store, user, other), NOW_MS),
    "inherit": lambda store, user, other: LeaveGroup(other, make_group(store, other, user), NOW_MS),
    "rename": lambda store, user, other: RenameGroup(
        user, make_group(store, user, other), "new", None, NOW_MS
    ),
    "delete": lambda store, user, other: DeleteGroup(other, make_group(store, other, user), NOW_MS),
    "ask": lambda store, user, other: AddFriend(user, other, NOW_MS, FREE, FREE),
    "be asked": lambda store, user, other: AddFriend(other, user, NOW_MS, FREE, FREE),
    "accept": lambda store, user, other: asked(store, other, user),
    "remove": lambda store, user, other: friends(store, other, user),
    "block": lambda store, user, other: Block(user, other),
    "unblock": lambda store, user, other: Unblock(user, other),
}


COUNTED = {"create": 3, "join": 2, "ask": 1, "be asked": 1}
"""How many rows are counted for each that the user has of everything."""


def asked(store: DatabaseConnection, asking: int, user: int) -> AddFriend:
    execute(store, AddFriend(asking, user, NOW_MS, FREE, FREE))
    return AddFriend(user, asking, NOW_MS)


def friends(store: DatabaseConnection, one: int, user: int) -> RemoveFriend:
    execute(store, AddFriend(one, user, NOW_MS, FREE, FREE))
    execute(store, AddFriend(user, one, NOW_MS, FREE, FREE))
    return RemoveFriend(user, one)


def test_a_request_costs_as_much_for_a_user_who_has_much(store: DatabaseConnection) -> None:
    owner = register(store, "owner")
    few = user_who_has(store, "few", FEW, owner)
    many = user_who_has(store, "many", many_of(store), owner)
    for kind, request in REQUESTS.items():
        costs = []
        for user in (few, many):
            other = register(store, f"{kind}-{user}")
            operation = request(store, user, other)
            costs.append(work(store, operation))
        counted = COUNTED.get(kind, 0) * (many_of(store) - FEW)
        assert costs[1] <= SLACK * costs[0] + PER_COUNTED * counted, f"{kind}: {costs}"


def test_no_more_than_the_limit_is_counted(store: DatabaseConnection) -> None:
    owner = register(store, "owner")
    user = user_who_has(store, "user", many_of(store), owner)
    other, group = register(store, "other"), make_group(store, owner)
    not_refused = (
        work(store, AddFriend(other, owner, NOW_MS)),
        work(store, JoinGroup(other, group, NOW_MS)),
    )
    refused = (
        work(store, AddFriend(user, other, NOW_MS, most_made=1), is_refused=True),
        work(store, AddFriend(other, user, NOW_MS, most_received=1), is_refused=True),
        work(store, CreateGroup(user, "new", "", NOW_MS, most_owned=1), is_refused=True),
        work(store, JoinGroup(user, group, NOW_MS, most_joined=1), is_refused=True),
    )
    assert max(refused) <= max(not_refused)
