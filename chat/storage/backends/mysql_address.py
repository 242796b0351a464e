"""Where a MySQL database is, and which driver connects to it, as one URL."""

from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_PORT: Final = 3306


class DriverName(StrEnum):
    """A driver, as it is called where Python packages are installed from."""

    PYMYSQL = "PyMySQL"
    MYSQLCLIENT = "mysqlclient"


SCHEMES: Final = {"mysql": DriverName.PYMYSQL, "mysql+mysqlclient": DriverName.MYSQLCLIENT}
"""The driver that each scheme of a URL stands for."""


class MySqlAddress(NamedTuple):
    """A database, the user it is opened as, and the driver."""

    host: str
    port: int
    user: str
    password: str
    database: str
    driver: DriverName = DriverName.PYMYSQL

    @classmethod
    def parse(cls, url: str) -> "MySqlAddress":
        """Of mysql://user:password@host:port/database, or of the same with mysql+mysqlclient; a
        special character in a name or password is written %XX. Raises ValueError with what is
        wrong."""
        parts = urlsplit(url)
        database = unquote(parts.path.removeprefix("/"))
        if parts.scheme not in SCHEMES or not parts.hostname or not parts.username or not database:
            raise ValueError("it is mysql://user:password@host:port/database")
        if "/" in database or parts.query or parts.fragment:
            raise ValueError("nothing comes after the name of the database")
        return cls(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORT,
            user=unquote(parts.username),
            password=unquote(parts.password or ""),
            database=database,
            driver=SCHEMES[parts.scheme],
        )

    def __str__(self) -> str:
        """Without the password."""
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"
