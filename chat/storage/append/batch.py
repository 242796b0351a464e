"""Group commit: many appends as one transaction, decided as if they came one after the other.

A batch is tried in up to three ways, and each gives the same answers:

1. *Speculate* (speculation.py), if the append cache holds all that the batch needs: no question is
   asked; the first statement verifies what was taken from the cache. A batch that was stale, or
   has a key that is stored already, was rolled back and falls back to the next way.
2. *Lock, then ask* (locking.py), assuming that all keys are new. Nearly all are, and the unique key
   of the table fails the batch if one is not.
3. *Lock, then ask*, for the keys too.

No outcome may leave before the commit has returned. A batch of which it is not known whether
its commit was carried out may be run again: keys that were stored are found.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

from chat.core.ports.operations import Append, Appended, Refused
from chat.storage.append.cache import AppendCache
from chat.storage.append.locking import lock_and_append
from chat.storage.append.speculation import Speculation, speculate, verify_and_append
from chat.storage.backends.connection import DatabaseConnection, in_transaction
from chat.storage.errors import DuplicateKey, Stale

MAX_BATCH: Final = 256
"""Most appends of one transaction."""


def append_batch(
    connection: DatabaseConnection, cache: AppendCache, appends: Sequence[Append]
) -> Sequence[Appended | Refused]:
    """Up to MAX_BATCH appends as one transaction, answered in their order, with the outcomes
    they would have one by one. One that is refused does not affect the others.

    Raises StoreError. After any, even a commit of unknown outcome, the same batch may be run again
    on a good connection.
    """
    if not 0 < len(appends) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} appends, not {len(appends)}")
    speculation = speculate(cache, appends)
    if speculation is not None:
        try:
            _commit_speculation(connection, cache, speculation)
            return speculation.outcomes
        except Stale:
            cache.found_stale()
        except DuplicateKey:
            return _commit_locked(connection, cache, appends, assume_new_keys=False)
    with contextlib.suppress(DuplicateKey):
        return _commit_locked(connection, cache, appends, assume_new_keys=True)
    return _commit_locked(connection, cache, appends, assume_new_keys=False)


def _commit_speculation(
    connection: DatabaseConnection, cache: AppendCache, speculation: Speculation
) -> None:
    in_transaction(connection, lambda: verify_and_append(connection, speculation), write=True)
    cache.verified({conversation: head for conversation, _, _, head in speculation.expected})


def _commit_locked(
    connection: DatabaseConnection,
    cache: AppendCache,
    appends: Sequence[Append],
    *,
    assume_new_keys: bool,
) -> Sequence[Appended | Refused]:
    batch = in_transaction(
        connection,
        lambda: lock_and_append(connection, cache, appends, assume_new_keys=assume_new_keys),
        write=True,
    )
    for update in batch.cache_updates:
        cache.update_conversation(*update)
    return batch.outcomes
