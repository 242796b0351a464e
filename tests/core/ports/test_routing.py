"""Every operation reaches the party whose union in operations.py it belongs to."""

from typing import get_args

from msgspec import Struct

from chat.core.ports.operations import (
    AnyOperation,
    FindPresence,
    HashPassword,
    Operation,
    PasswordOperation,
    ReadProfile,
    StoreOperation,
)
from chat.core.ports.routing import PARTY_OF, Parties, route


def party(operation: AnyOperation) -> tuple[str, int]:
    return route(
        Parties(
            lambda ticket, operation: ("store", ticket),
            lambda ticket, operation: ("password hasher", ticket),
            lambda ticket, operation: ("presence directory", ticket),
        ),
        7,
        operation,
    )


def test_an_operation_reaches_its_party_with_its_ticket() -> None:
    assert party(ReadProfile(1)) == ("store", 7)
    assert party(HashPassword("secret")) == ("password hasher", 7)
    assert party(FindPresence((1,))) == ("presence directory", 7)


def test_every_operation_has_a_party() -> None:
    def leaves(base: type[Struct]) -> set[type[Struct]]:
        return (
            {base}
            if not base.__subclasses__()
            else set().union(*map(leaves, base.__subclasses__()))
        )

    ours = {one for one in leaves(Operation) if one.__module__ == Operation.__module__}
    assert set(PARTY_OF) == ours
    for place, union in enumerate((StoreOperation, PasswordOperation)):
        assert {one for one, party in PARTY_OF.items() if party == place} == set(get_args(union))
