"""The checkers: what must hold, in the words of the contract.

A checker looks at a cluster and raises `Violation` where an invariant does not hold. It changes
nothing and draws no random numbers, so a run with checkers is the same run.
"""


class Violation(Exception):
    """An invariant does not hold: its name, and what was seen instead."""

    def __init__(self, invariant: str, seen: str) -> None:
        super().__init__(f"{invariant}: {seen}")
        self.invariant = invariant
        self.seen = seen

    def __reduce__(self) -> tuple[type["Violation"], tuple[str, str]]:
        return Violation, (self.invariant, self.seen)
