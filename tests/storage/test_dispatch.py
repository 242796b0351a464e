"""Reads that are carried out together answer what each would alone."""

from hypothesis import given
from hypothesis import strategies as st

from chat.core.ports.operations import (
    FindAccount,
    FindDevice,
    OpenDevice,
    ReadHeads,
    ReadLog,
    ReadMembers,
    ReadProfile,
    ReadRoster,
    StoreOperation,
)
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.dispatch import execute, read_batch
from tests.storage.stores import (
    NOW_MS,
    befriend,
    make_group,
    memory_store,
    register_users,
    say,
    say_group,
    sent,
)

USERS = range(1, 6)
"""The last does not exist."""
CONVERSATIONS = range(1, 5)


def fill(store: DatabaseConnection) -> None:
    """Four users: two pairs of friends, an open request, a group, a device each."""
    ann, bob, cyd, dan = register_users(store, 4)
    befriend(store, ann, bob)
    befriend(store, ann, cyd)
    group = make_group(store, bob, ann, dan)
    sent(store, say(ann, bob, "hello", "k1"))
    sent(store, say_group(dan, group, "all", "k2"))
    for user in (ann, bob, cyd, dan):
        execute(store, OpenDevice(user, bytes([user]) * 32, NOW_MS))


reads: st.SearchStrategy[StoreOperation] = st.one_of(
    st.builds(ReadRoster, st.sampled_from(USERS)),
    st.builds(
        FindDevice, st.sampled_from(USERS).map(lambda user: bytes([user]) * 32), st.just(NOW_MS)
    ),
    st.builds(FindAccount, st.sampled_from(USERS)),
    st.builds(ReadProfile, st.sampled_from(USERS)),
    st.builds(
        ReadHeads, st.just(tuple(CONVERSATIONS)), st.lists(st.sampled_from(USERS)).map(tuple)
    ),
    st.builds(ReadLog, st.sampled_from(CONVERSATIONS), st.integers(0, 2), st.just(10)),
    st.builds(ReadMembers, st.sampled_from(USERS), st.sampled_from(CONVERSATIONS)),
)


@given(st.lists(reads, min_size=1, max_size=12))
def test_reads_together_are_reads_one_by_one(operations: list[StoreOperation]) -> None:
    store = memory_store()
    try:
        fill(store)
        assert read_batch(store, operations) == [execute(store, one) for one in operations]
    finally:
        store.close()


def test_reads_together_on_every_store(store: DatabaseConnection) -> None:
    fill(store)
    operations: list[StoreOperation] = [
        operation
        for user in USERS
        for operation in (
            ReadRoster(user),
            FindDevice(bytes([user]) * 32, NOW_MS),
            ReadProfile(user),
            ReadMembers(user, 3),
        )
    ]
    assert read_batch(store, operations) == [execute(store, one) for one in operations]
