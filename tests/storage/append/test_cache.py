"""The append cache: what it holds, when a batch may speculate on it, and how large it grows."""

import pytest

from chat.storage.append import cache as cache_module
from chat.storage.append.cache import AppendCache
from chat.storage.append.speculation import speculate
from tests.storage.stores import say

ANN, BOB = 1, 2


def test_a_conversation_is_speculated_on_while_no_other_writer_is_seen() -> None:
    cache = AppendCache()
    cache.add_pairs({(ANN, BOB): 7})
    cache.update_conversation(7, 3, 4, 0, {(ANN, BOB)})
    batch = [say(ANN, BOB)]
    assert speculate(cache, batch) is not None
    cache.update_conversation(7, 5, 6, 0, set())
    assert speculate(cache, batch) is None
    cache.update_conversation(7, 6, 7, 0, set())
    assert speculate(cache, batch) is not None


def test_the_more_are_stale_in_a_row_the_fewer_speculate() -> None:
    cache = AppendCache()
    skipped = []
    for _ in range(9):
        cache.found_stale()
        count = 0
        while not cache.may_speculate():
            count += 1
        skipped.append(count)
    assert skipped == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    cache.verified({})
    cache.found_stale()
    assert [cache.may_speculate(), cache.may_speculate()] == [False, True]


def test_it_is_emptied_rather_than_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAX_CACHED", 10)
    cache = AppendCache()
    for number in range(1, 1_000):
        cache.add_names({f"name-{number}": number})
        cache.add_pairs({(number, number + 1): number})
        cache.update_conversation(number, 0, 1, 0, {(number, 0), (number + 1, 0)})
        writers = sum(len(one.writers) for one in cache.conversations.values())
        assert max(len(cache.names), len(cache.pairs), len(cache.conversations)) <= 11
        assert writers <= 12
    for version in range(1_000):
        cache.update_conversation(5_000, 0, 1, version, {(version, 0)})
    assert cache.conversations[5_000].writers == {(999, 0)}
    for sender in range(1_000):
        cache.update_conversation(5_001, 0, 1, 0, {(sender, 0)})
        writers = sum(len(one.writers) for one in cache.conversations.values())
        assert writers <= 12
