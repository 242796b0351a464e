"""A batch of appends: speculation saves questions, and never changes an answer."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chat.core.ports.operations import (
    AddFriend,
    Append,
    Appended,
    Block,
    DeleteGroup,
    JoinGroup,
    LeaveGroup,
    RemoveFriend,
    StoreOperation,
    Unblock,
)
from chat.storage.append.batch import MAX_BATCH, append_batch
from chat.storage.append.cache import AppendCache
from chat.storage.append.speculation import speculate, verify_and_append
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.dispatch import execute
from chat.storage.errors import DuplicateKey, Stale
from tests.storage.stores import (
    NOW_MS,
    befriend,
    make_group,
    read_all,
    refused,
    register_users,
    say,
    say_group,
)

ANN, BOB, CYD = 1, 2, 3


def begin(store: DatabaseConnection) -> tuple[int, int]:
    """Ann and Bob are friends and in a group; the conversation and the group."""
    register_users(store, 3)
    return befriend(store, ANN, BOB), make_group(store, ANN, BOB)


def filled_cache(store: DatabaseConnection, group: int) -> AppendCache:
    """A cache that holds that Bob may write to Ann and in the group."""
    cache = AppendCache()
    batch = [say(BOB, "ann", key="first"), say_group(BOB, group, key="second")]
    assert speculate(cache, batch) is None
    append_batch(store, cache, batch)
    return cache


def test_what_is_cached_is_not_asked_for(store: DatabaseConnection) -> None:
    conversation, group = begin(store)
    cache = filled_cache(store, group)
    batch = [say(BOB, "ANN", key="a"), say_group(BOB, group, key="b"), say(BOB, ANN, key="c")]
    speculation = speculate(cache, batch)
    assert speculation is not None
    assert append_batch(store, cache, batch) == speculation.outcomes
    assert speculation.outcomes == [
        Appended(conversation, 2, NOW_MS, ANN),
        Appended(group, 4, NOW_MS, None),
        Appended(conversation, 3, NOW_MS, ANN),
    ]
    assert [entry.key for entry in read_all(store, conversation)] == ["first", "a", "c"]
    assert [entry.key for entry in read_all(store, group)] == [None, None, "second", "b"]
    assert speculate(cache, [say(BOB, ANN, key="d")]) is not None


@pytest.mark.parametrize(
    "unknown",
    [
        lambda group: say(CYD, ANN),
        lambda group: say(ANN, BOB),
        lambda group: say(BOB, 999),
        lambda group: say(BOB, "cyd"),
        lambda group: say(BOB, BOB),
        lambda group: say_group(ANN, group),
        lambda group: say_group(BOB, group + 1),
        lambda group: say_group(BOB, 1),
    ],
)
def test_what_is_not_cached_is_asked_for(
    store: DatabaseConnection, unknown: Callable[[int], Append]
) -> None:
    _, group = begin(store)
    cache = filled_cache(store, group)
    batch = [say(BOB, ANN, key="a"), unknown(group)]
    assert speculate(cache, batch) is None
    _, outcome = append_batch(store, cache, batch)
    again = execute(store, batch[1])
    if isinstance(outcome, Appended):
        outcome = replace(outcome, repeated=True)
    assert outcome == again


CHANGES: dict[str, tuple[list[Callable[[int], StoreOperation]], str, str]] = {
    "blocked by the other": ([lambda group: Block(ANN, BOB)], "blocked", ""),
    "blocked by oneself": ([lambda group: Block(BOB, ANN)], "blocked", ""),
    "no friend": ([lambda group: RemoveFriend(ANN, BOB)], "not_friends", ""),
    "left": ([lambda group: LeaveGroup(BOB, group, NOW_MS)], "", "not_member"),
    "ended": ([lambda group: DeleteGroup(ANN, group, NOW_MS)], "", "no_such_group"),
    "joined by another": ([lambda group: JoinGroup(CYD, group, NOW_MS)], "", ""),
    "blocked and not": ([lambda group: Block(ANN, BOB), lambda group: Unblock(ANN, BOB)], "", ""),
    "friends anew": (
        [
            lambda group: RemoveFriend(ANN, BOB),
            lambda group: AddFriend(ANN, BOB, NOW_MS),
            lambda group: AddFriend(BOB, ANN, NOW_MS),
        ],
        "",
        "",
    ),
    "left and back": (
        [lambda group: LeaveGroup(BOB, group, NOW_MS), lambda group: JoinGroup(BOB, group, NOW_MS)],
        "",
        "",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("is_asking", [False, True])
def test_a_user_who_may_not_write_any_more_is_refused(
    store: DatabaseConnection, what: str, is_asking: bool
) -> None:
    """`is_asking`: a sender the cache does not hold is in the batch, so that it locks and asks."""
    _, group = begin(store)
    cache = filled_cache(store, group)
    operations, to_friend, to_group = CHANGES[what]
    for operation in operations:
        execute(store, operation(group))
    more = [say(CYD, ANN)] if is_asking else []
    for key, code in (("a", to_friend), ("b", to_group)):
        append = say(BOB, ANN, key=key) if key == "a" else say_group(BOB, group, key=key)
        outcome = append_batch(store, cache, [append, *more])[0]
        assert outcome == refused(code) if code else isinstance(outcome, Appended)


def test_a_head_that_another_writer_raised_is_found_out(store: DatabaseConnection) -> None:
    conversation, group = begin(store)
    mine, other = filled_cache(store, group), AppendCache()
    for number in range(12):
        cache = mine if number % 3 else other
        outcome = append_batch(store, cache, [say(BOB, ANN, key=str(number))])
        assert outcome == [Appended(conversation, 2 + number, NOW_MS, ANN)]
    keys = ["first", *[str(number) for number in range(12)]]
    assert [entry.key for entry in read_all(store, conversation)] == keys


def test_a_full_batch_may_be_of_as_many_conversations(store: DatabaseConnection) -> None:
    (ann,) = register_users(store, 1)
    groups = [make_group(store, ann) for _ in range(MAX_BATCH)]
    cache = AppendCache()
    for seq in (2, 3):
        batch = [say_group(ann, group, key=f"{seq}.{group}") for group in reversed(groups)]
        assert (speculate(cache, batch) is not None) == (seq == 3)
        outcomes = append_batch(store, cache, batch)
        assert outcomes == [Appended(group, seq, NOW_MS, None) for group in reversed(groups)]


def test_of_a_batch_that_is_stale_in_part_nothing_is_stored(
    store: DatabaseConnection,
) -> None:
    conversation, group = begin(store)
    cache = filled_cache(store, group)
    speculation = speculate(cache, [say(BOB, ANN, key="a"), say_group(BOB, group, key="b")])
    assert speculation is not None
    execute(store, JoinGroup(CYD, group, NOW_MS))
    with pytest.raises(Stale):
        in_transaction(store, lambda: verify_and_append(store, speculation), write=True)
    assert len(read_all(store, conversation)) == 1
    assert len(read_all(store, group)) == 4


def test_a_key_that_is_stored_is_found(store: DatabaseConnection) -> None:
    conversation, group = begin(store)
    cache = filled_cache(store, group)
    speculation = speculate(cache, [say(BOB, ANN, key="first")])
    assert speculation is not None
    with pytest.raises(DuplicateKey):
        in_transaction(store, lambda: verify_and_append(store, speculation), write=True)
    batch = [say(BOB, ANN, key="new"), say(BOB, ANN, key="first"), say(BOB, ANN, key="new")]
    assert append_batch(store, cache, batch) == [
        Appended(conversation, 2, NOW_MS, ANN),
        Appended(conversation, 1, NOW_MS, ANN, repeated=True),
        Appended(conversation, 2, NOW_MS, ANN, repeated=True),
    ]
    assert append_batch(store, cache, [say(BOB, ANN, key="first")]) == [
        Appended(conversation, 1, NOW_MS, ANN, repeated=True)
    ]


def test_null_in_a_column_that_forbids_it_is_stale(store: DatabaseConnection) -> None:
    _, group = begin(store)
    with pytest.raises(Stale):
        in_transaction(
            store,
            lambda: store.execute("UPDATE conversations SET head = NULL WHERE id = ?", (group,)),
            write=True,
        )
    assert len(read_all(store, group)) == 2
