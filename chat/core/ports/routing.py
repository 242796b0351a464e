"""Which party answers an operation: the store, the password hasher or the presence directory.

The driver, the simulator and the tests all run a node, and each gives three functions, one for each
party. That an operation reaches the right one is decided here, once.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args

from chat.core.ports.operations import (
    AnyOperation,
    Operation,
    PasswordOperation,
    PresenceOperation,
    StoreOperation,
)

Result = TypeVar("Result")


class Parties(NamedTuple, Generic[Result]):
    """What carries out an operation, by party. Each function takes the query's ticket and the
    operation."""

    store: Callable[[int, StoreOperation], Result]
    password_hasher: Callable[[int, PasswordOperation], Result]
    presence_directory: Callable[[int, PresenceOperation], Result]


PARTY_OF: Final[dict[type[Operation[Any]], int]] = {
    **dict.fromkeys(get_args(StoreOperation), 0),
    **dict.fromkeys(get_args(PasswordOperation), 1),
    PresenceOperation: 2,
}
"""The place in `Parties` by the type of the operation."""


def route(parties: Parties[Result], ticket: int, operation: AnyOperation) -> Result:
    """Hands the operation to the party that answers it; returns what that function returns."""
    carry_out: Callable[[int, Any], Result] = parties[PARTY_OF[type(operation)]]
    return carry_out(ticket, operation)
