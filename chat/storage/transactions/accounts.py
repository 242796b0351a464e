"""Accounts, and the devices that hold a token of one."""

from collections.abc import Sequence
from typing import Final

from chat.core.ports.operations import (
    AccountFound,
    AccountRow,
    CloseDevice,
    CreateUser,
    DeviceFound,
    Done,
    FindAccount,
    FindDevice,
    OpenDevice,
    Refused,
    UserCreated,
)
from chat.protocol.errors import ErrorCode
from chat.protocol.messages import User
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.backends.sql import qmarks
from chat.storage.errors import DuplicateKey
from chat.storage.transactions.access import Refusal
from chat.storage.transactions.rosters import find_user
from chat.storage.transactions.tables import BatchReads, Transactions


def create_user(connection: DatabaseConnection, operation: CreateUser) -> UserCreated:
    name_key = operation.name.lower()
    if connection.query("SELECT id FROM users WHERE name_key = ?", (name_key,)):
        raise Refusal(ErrorCode.NAME_TAKEN)
    try:
        id = connection.insert(
            "INSERT INTO users (name, name_key, password_hash, registered_ms, roster_version)"
            " VALUES (?, ?, ?, ?, 1)",
            (operation.name, name_key, operation.password_hash, operation.at_ms),
        )
    except DuplicateKey:
        raise Refusal(ErrorCode.NAME_TAKEN) from None
    return UserCreated(User(id=id, name=operation.name))


def find_account(connection: DatabaseConnection, operation: FindAccount) -> AccountFound:
    column, value = (
        ("name_key", operation.user.lower())
        if isinstance(operation.user, str)
        else ("id", operation.user)
    )
    rows = connection.query(
        f"SELECT id, name, password_hash FROM users WHERE {column} = ?", (value,)
    )
    if not rows:
        return AccountFound(None)
    id, name, password_hash = rows[0]
    return AccountFound(AccountRow(User(id=id, name=name), password_hash))


def open_device(connection: DatabaseConnection, operation: OpenDevice) -> Done:
    # Refuses a user that does not exist before a foreign key does.
    find_user(connection, operation.user)
    connection.execute(
        "INSERT INTO devices (token_sha256, user_id, opened_ms) VALUES (?, ?, ?)",
        (operation.token_sha256, operation.user, operation.at_ms),
    )
    return Done()


def find_devices(
    connection: DatabaseConnection, operations: Sequence[FindDevice]
) -> list[DeviceFound | Refused]:
    tokens = sorted({operation.token_sha256 for operation in operations})
    rows = connection.query(
        f"SELECT token_sha256, user_id FROM devices WHERE token_sha256 IN ({qmarks(len(tokens))})",
        tokens,
    )
    owners: dict[bytes, int] = dict(rows)
    return [
        DeviceFound(owners[operation.token_sha256])
        if operation.token_sha256 in owners
        else Refused(ErrorCode.BAD_CREDENTIALS)
        for operation in operations
    ]


def close_device(connection: DatabaseConnection, operation: CloseDevice) -> Done:
    connection.execute("DELETE FROM devices WHERE token_sha256 = ?", (operation.token_sha256,))
    return Done()


READS_TOGETHER: Final[BatchReads] = {
    FindDevice: find_devices,
}
READS: Final[Transactions] = {
    FindAccount: find_account,
}
WRITES: Final[Transactions] = {
    CreateUser: create_user,
    OpenDevice: open_device,
    CloseDevice: close_device,
}
