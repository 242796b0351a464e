"""The text of statements, as MySQL is sent it."""

from hypothesis import given
from hypothesis import strategies as st

from chat.storage.backends.connection import Value
from chat.storage.backends.mysql_statements import render, render_rows
from chat.storage.backends.sql import value_rows

NASTY = st.text(st.sampled_from("'\\\0%sd?;\n\x1a\"`aé😀"), max_size=12)
KINDS: tuple[st.SearchStrategy[Value], ...] = (
    st.integers(-(2**63), 2**63),
    NASTY,
    st.binary(max_size=5),
    st.none(),
)


@given(st.data(), st.lists(st.sampled_from(KINDS), min_size=1, max_size=7), st.integers(1, 6))
def test_rows_are_rendered_as_their_values_are(
    data: st.DataObject, columns: list[st.SearchStrategy[Value]], count: int
) -> None:
    rows = [tuple(data.draw(column) for column in columns) for _ in range(count)]
    values = [value for row in rows for value in row]
    assert render_rows(rows) == render(value_rows(count, len(columns)), values)
