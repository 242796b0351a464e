"""Rows as one text each, for a driver that reads columns slowly.

PyMySQL is written in Python and handles each column of each row by itself: a page of the log costs
twice as much as with one column a row. So the columns of a SELECT are concatenated by the server,
with a space between two, and split here. That is possible when only the last may have spaces in it
and NULL has a form of its own, which the column types say.

The types come back as whole columns, which `map` and `zip` do without a step of Python per value.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from chat.storage.backends.connection import Column, Columns, ColumnType, Row

_SEPARATOR: Final = " "


class Packing(NamedTuple):
    """How one list of columns is packed."""

    sql: str
    """The one column that stands for all; the SQL mode makes `||` a concatenation."""
    types: tuple[ColumnType, ...]

    def unpack(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with the values of the columns, each of its type."""
        if not rows:
            return []
        splits = len(self.types) - 1
        columns = zip(*[text.split(_SEPARATOR, splits) for (text,) in rows], strict=True)
        return list(
            zip(
                *[_values(type, column) for type, column in zip(self.types, columns, strict=True)],
                strict=True,
            )
        )


@lru_cache(maxsize=256)
def packing_of(columns: Columns) -> Packing | None:
    """None if these columns cannot be told apart once they are packed, or need not be packed."""
    types = tuple(column.type for column in columns.columns)
    if len(types) < 2 or ColumnType.TEXT in types[:-1]:
        return None
    return Packing(f" || '{_SEPARATOR}' || ".join(map(_packed, columns.columns)), types)


def _packed(column: Column) -> str:
    if column.type is ColumnType.OPTIONAL_WORD:
        return f"COALESCE({column.expression}, '')"
    return column.expression


def _values(type: ColumnType, column: tuple[str, ...]) -> Iterable[object]:
    if type is ColumnType.INTEGER:
        return map(int, column)
    if type is ColumnType.OPTIONAL_WORD:
        return [value or None for value in column]
    return column
