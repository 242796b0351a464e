"""The address of a database, as people write it."""

import pytest

from chat.storage.backends.mysql_address import Address


def test_an_address_and_what_is_shown_of_it() -> None:
    address = Address.parse("mysql://ann:s%40cret@db.example:3307/chat")
    assert address == Address("db.example", 3307, "ann", "s@cret", "chat")
    assert str(address) == "mysql://ann@db.example:3307/chat"
    assert Address.parse("mysql://ann@db/chat") == Address("db", 3306, "ann", "", "chat")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://db/chat",
        "mysql://ann@db",
        "mysql://ann@/chat",
        "mysql://a@db/x/y",
        "mysql://a@db/x?y",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="database"):
        Address.parse(url)
