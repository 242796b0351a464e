"""A typed SELECT gives the same rows from every database and driver."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.storage.backends.connection import (
    Columns,
    DatabaseConnection,
    Select,
    integer,
    text,
    word,
)
from chat.storage.backends.mysql_packing import packing_of
from chat.storage.backends.sql import derived, flat

NUMBERS = st.integers(-(2**62), 2**62)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \0"), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TEXT_LAST = Columns(integer("w.n"), word("w.a"), integer("w.m"), text("w.b"))
TEXTS_ANYWHERE = Columns(text("w.b"), integer("w.n"), word("w.a"))


@given(st.lists(st.tuples(NUMBERS, WORDS, NUMBERS, TEXTS), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_rows_have_the_types_of_their_columns(
    store: DatabaseConnection, rows: list[tuple[int, str, int, str]]
) -> None:
    source = f"FROM {derived(('n', 'a', 'm', 'b'), len(rows))} w"
    parameters = flat(rows)
    some, others, none = store.select(
        Select(TEXT_LAST, source, parameters),
        Select(TEXTS_ANYWHERE, source, parameters),
        Select(TEXT_LAST, f"{source} WHERE w.n <> w.n", parameters),
    )
    assert sorted(some) == sorted(rows)
    assert sorted(others) == sorted((b, n, a) for n, a, _, b in rows)
    assert none == []


def test_columns_are_packed_if_they_can_be_told_apart() -> None:
    packing = packing_of(TEXT_LAST)
    assert packing is not None
    assert packing.unpack([("-1 word 2 a  text ",), ("3  4 ",)]) == [
        (-1, "word", 2, "a  text "),
        (3, "", 4, ""),
    ]
    assert packing_of(TEXTS_ANYWHERE) is None
    assert packing_of(Columns(integer("w.n"))) is None
