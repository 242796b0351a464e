"""The text of a statement as MySQL is sent it: parameters put in, escaped by PyMySQL.

The literals come from `pymysql.converters`, whichever driver carries the text, so the server must
read a backslash in a string as PyMySQL means it: mysql.py sets the SQL mode of each connection.

The driver's own `execute` puts parameters in one by one. A batch of entries has seven for each
text, and most need nothing escaped; so `render_rows` goes column by column and asks once whether
there is anything to escape in the whole column. What the driver escapes is asked of the driver.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pymysql.converters import escape_item, escape_string

from chat.storage.backends.connection import Row, Value

CHARSET: Final = "utf8mb4"
_ESCAPED: Final = tuple(char for char in map(chr, range(256)) if escape_string(char) != char)
"""The characters that mean something between quotes; in UTF-8 they are all in ASCII."""


def render(sql: str, parameters: Sequence[Value]) -> str:
    """The statement with its parameters in the places of the `?`."""
    if not parameters:
        return sql
    return _template(sql) % tuple(
        # `%s` makes of a number what SQL calls it.
        [value if type(value) is int else escape_item(value, CHARSET) for value in parameters]
    )


def render_rows(rows: Sequence[Row]) -> str:
    """Rows as an INSERT has them after VALUES. A column has values of one type."""
    formats: list[str] = []
    columns: list[Sequence[object]] = []
    for column in zip(*rows, strict=True):
        if type(column[0]) is int:
            formats.append("%d")
            columns.append(column)
        elif type(column[0]) is str:
            formats.append("'%s'")
            columns.append(_escaped(column))
        else:
            formats.append("%s")
            columns.append([escape_item(value, CHARSET) for value in column])
    row = f"({','.join(formats)})"
    values = tuple([value for values in zip(*columns, strict=True) for value in values])
    return ",".join([row] * len(rows)) % values


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    if _is_plain("".join(texts)):
        return texts
    return [text if _is_plain(text) else escape_string(text) for text in texts]


def _is_plain(text: str) -> bool:
    for char in _ESCAPED:  # noqa: SIM110 (a generator takes twice as long)
        if char in text:
            return False
    return True


@lru_cache(maxsize=1024)
def _template(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
