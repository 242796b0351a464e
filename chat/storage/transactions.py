"""The transactions: every store operation, carried out over a connection.

One operation is one transaction, and whatever it decides it decides under locks that it holds
to its commit. Locks are taken in one order by all: conversations by number, then users by
number. What a user may do is asked of the generated access tables under those locks.

An outcome is returned only after the commit has returned. A `Refused` outcome was rolled back,
so that nothing of it is stored. What is raised is a StoreError, of which each says whether
anything may be stored, or, for a bug, anything else after a rollback.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from chat.core.operations import (
    AddFriend,
    Append,
    Appended,
    Block,
    CloseDevice,
    CreateGroup,
    CreateUser,
    DeleteGroup,
    FindAccount,
    FindDevice,
    JoinGroup,
    LeaveGroup,
    MarkRead,
    OpenDevice,
    ReadHeads,
    ReadHistory,
    ReadLog,
    ReadMembers,
    ReadProfile,
    ReadRoster,
    Refused,
    RemoveFriend,
    StoreOperation,
    StoreOutcome,
    Unblock,
)
from chat.storage import accounts, friendships, groups, log, rosters
from chat.storage.access import Refusal
from chat.storage.appends import MAX_BATCH, append_all
from chat.storage.connection import Connection, in_transaction
from chat.storage.errors import DuplicateKey

# Each takes a connection and an operation of the type it stands under.
_READS: Final[dict[type, Callable[[Connection, Any], StoreOutcome]]] = {
    FindAccount: accounts.find_account,
    FindDevice: accounts.find_device,
    ReadRoster: rosters.read_roster,
    ReadProfile: rosters.read_profile,
    ReadHeads: rosters.read_heads,
    ReadLog: log.read_log,
    ReadHistory: log.read_history,
    ReadMembers: groups.read_members,
}
_WRITES: Final[dict[type, Callable[[Connection, Any], StoreOutcome]]] = {
    CreateUser: accounts.create_user,
    OpenDevice: accounts.open_device,
    CloseDevice: accounts.close_device,
    AddFriend: friendships.add_friend,
    RemoveFriend: friendships.remove_friend,
    Block: friendships.block,
    Unblock: friendships.unblock,
    CreateGroup: groups.create_group,
    JoinGroup: groups.join_group,
    LeaveGroup: groups.leave_group,
    DeleteGroup: groups.delete_group,
    MarkRead: log.mark_read,
}


def is_read(operation: StoreOperation) -> bool:
    """Whether the operation changes nothing, so that it may run beside the writer."""
    return type(operation) in _READS


def execute(connection: Connection, operation: StoreOperation) -> StoreOutcome:
    """Carries out one operation as one transaction. Raises StoreError; never gives Unknown."""
    if isinstance(operation, Append):
        return append_batch(connection, [operation])[0]
    kind = type(operation)
    write = kind in _WRITES
    work = _WRITES[kind] if write else _READS[kind]
    try:
        return in_transaction(connection, lambda: work(connection, operation), write=write)
    except Refusal as refusal:
        return Refused(refusal.code)


def append_batch(connection: Connection, operations: Sequence[Append]) -> list[Appended | Refused]:
    """Up to MAX_BATCH appends as one transaction, answered in their order, with the outcomes
    they would have one by one. One that is refused does not harm the others.

    Raises StoreError. After any, even a commit of unknown fate, the same batch may be run again
    on a good connection: keys that were stored are found.
    """
    if not 0 < len(operations) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} appends, not {len(operations)}")
    try:
        return in_transaction(
            connection, lambda: append_all(connection, operations, hopeful=True), write=True
        )
    except DuplicateKey:
        return in_transaction(
            connection, lambda: append_all(connection, operations, hopeful=False), write=True
        )
