"""Pieces of SQL text for many values at once, in forms that all databases share.

Texts of the same shape are the same string object, so that a database which keeps prepared
statements finds them again.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from chat.storage.backends.connection import DatabaseConnection, Row, Value

CHUNK: Final = 400
"""Most values of one list; SQLite takes no more than 500 SELECTs in a union."""


@lru_cache(maxsize=2048)
def qmarks(count: int) -> str:
    """`?,?,?` for `count` values, in the qmark style of PEP 249."""
    return ",".join("?" * count)


@lru_cache(maxsize=2048)
def value_rows(count: int, width: int) -> str:
    """`(?,?),(?,?)` for `count` rows of `width` values, as INSERT takes them."""
    row = f"({qmarks(width)})"
    return ",".join([row] * count)


@lru_cache(maxsize=2048)
def derived(columns: tuple[str, ...], count: int) -> str:
    """`(SELECT ? AS a, ? AS b UNION ALL SELECT ?,? …)`: `count` rows as a table to join.

    SQLite uses no index for `(a, b) IN (VALUES …)`, but it does for a join with this.
    """
    first = ", ".join(f"? AS {name}" for name in columns)
    more = f" UNION ALL SELECT {qmarks(len(columns))}" * (count - 1)
    return f"(SELECT {first}{more})"


def query_in_chunks(
    connection: DatabaseConnection,
    before: str,
    ids: Sequence[int],
    after: str = "",
    first: Sequence[Value] = (),
) -> list[Row]:
    """The rows of `before (ids) after` for any number of ids; `before` ends with IN, and has the
    parameters `first`."""
    rows: list[Row] = []
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        rows += connection.query(f"{before} ({qmarks(len(chunk))}){after}", [*first, *chunk])
    return rows


def flat(rows: Iterable[tuple[Value, ...]]) -> list[Value]:
    """The values of rows one after the other, as `value_rows` and `derived` take them."""
    return [value for row in rows for value in row]
