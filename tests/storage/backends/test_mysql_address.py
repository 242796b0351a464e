"""The address of a database, as operators write it."""

import sys

import pytest

from chat.storage.backends.mysql import open_mysql
from chat.storage.backends.mysql_address import DriverName, MySqlAddress
from chat.storage.errors import StoreCannotOpen


def test_an_address_and_what_is_shown_of_it() -> None:
    address = MySqlAddress.parse("mysql://ann:s%40cret@db.example:3307/chat")
    assert address == MySqlAddress("db.example", 3307, "ann", "s@cret", "chat")
    assert str(address) == "mysql://ann@db.example:3307/chat"
    assert MySqlAddress.parse("mysql://ann@db/chat") == MySqlAddress("db", 3306, "ann", "", "chat")


def test_an_address_names_its_driver() -> None:
    assert MySqlAddress.parse("mysql://ann@db/chat").driver is DriverName.PYMYSQL
    address = MySqlAddress.parse("mysql+mysqlclient://ann@db/chat")
    assert address == MySqlAddress("db", 3306, "ann", "", "chat", DriverName.MYSQLCLIENT)


def test_a_driver_that_is_not_installed_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(StoreCannotOpen, match="pip install mysqlclient"):
        open_mysql(MySqlAddress.parse("mysql+mysqlclient://ann@db/chat"))


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
        MySqlAddress.parse(url)
