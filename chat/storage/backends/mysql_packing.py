"""Rows as one text each, for a driver that reads columns slowly.

PyMySQL is written in Python and handles each column of each row by itself: a page of the log takes
twice the CPU time that it takes with one column a row. So the server concatenates the columns of a
SELECT, with a space between two, and they are split here. That is possible when only the last may
have spaces in it and none is NULL, which the column types tell.
"""

from collections.abc import Sequence
from functools import lru_cache
from types import GenericAlias
from typing import Any, Final, NamedTuple

import msgspec

from chat.storage.backends.connection import Columns, ColumnType, Row

_SEPARATOR: Final = " "
_PYTHON_TYPES: Final = {ColumnType.INTEGER: int, ColumnType.WORD: str, ColumnType.TEXT: str}


class Packing(NamedTuple):
    """How one list of columns is packed."""

    sql: str
    """The one column that stands for all; the SQL mode makes `||` a concatenation."""
    width: int
    rows: Any
    """The type of all rows: a list of tuples of the types of the columns."""

    def unpack(self, packed: Sequence[Row]) -> list[Row]:
        """The rows with the values of the columns, each of its type."""
        splits = self.width - 1
        texts = [text.split(_SEPARATOR, splits) for (text,) in packed]
        # Not strict, so that a text becomes the number that it stands for.
        rows: list[Row] = msgspec.convert(texts, self.rows, strict=False)
        return rows


@lru_cache(maxsize=256)
def packing_of(columns: Columns) -> Packing | None:
    """None if these columns could not be told apart once they are packed, or are only one."""
    types = [column.type for column in columns.columns]
    if len(types) < 2 or ColumnType.TEXT in types[:-1]:
        return None
    sql = f" || '{_SEPARATOR}' || ".join(column.expression for column in columns.columns)
    row = GenericAlias(tuple, tuple(_PYTHON_TYPES[type] for type in types))
    return Packing(sql, len(types), GenericAlias(list, (row,)))
