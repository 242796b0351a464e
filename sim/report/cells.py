"""Cells: the entries (state × input) of the state table that runs have looked up.

Every input of a session goes through the table, so a look-up is counted in the table itself: while
a run is watched, its rows are `CountingRow`s.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, overload

from chat.protocol.rules import REQUEST_INPUT, RULES, Input, Rule, State, Verdict

_LINE_INPUTS: Final = {
    *REQUEST_INPUT.values(),
    Input.BAD_FRAME,
    Input.BAD_MESSAGE,
    Input.UNKNOWN_TYPE,
    Input.TOO_LONG,
    Input.WRONG_PROTOCOL,
}
REACHABLE: Final = frozenset(
    (state, input)
    for state in State
    for input in Input
    if RULES[state][input].verdict is not Verdict.NEVER
    # In a state that ignores bytes, no lines are cut from them.
    and not (input in _LINE_INPUTS and RULES[state][Input.BYTES].verdict is Verdict.IGNORE)
)

Cells = dict[tuple[int, int], int]
"""By state and input: how often the cell was looked up."""


class CountingRow(Sequence[Rule]):
    """The row of one state, which counts each look-up of a cell."""

    def __init__(self, state: State, row: Sequence[Rule], cells: Cells) -> None:
        self._keys = [(int(state), int(input)) for input in Input]
        self._row = row
        self._cells = cells

    @overload
    def __getitem__(self, input: int) -> Rule: ...
    @overload
    def __getitem__(self, input: slice) -> Sequence[Rule]: ...
    def __getitem__(self, input: int | slice) -> Rule | Sequence[Rule]:
        if isinstance(input, slice):
            return self._row[input]
        key = self._keys[input]
        self._cells[key] = self._cells.get(key, 0) + 1
        return self._row[input]

    def __len__(self) -> int:
        return len(self._row)


@contextmanager
def counting(cells: Cells) -> Iterator[None]:
    """Counts all look-ups in the state table meanwhile. One at a time in a process."""
    rows = list(RULES)
    RULES[:] = [CountingRow(State(state), row, cells) for state, row in enumerate(rows)]
    try:
        yield
    finally:
        RULES[:] = rows
