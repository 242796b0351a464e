"""Admission: connections that are not logged in are counted by address, so that one address cannot
take all the connections that a node can have."""

from chat.core.state.context import Context
from chat.core.state.session import Session


class Admission:
    """How many connections of each address are not logged in."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._by_address: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._by_address.values())

    def count(self, session: Session) -> bool:
        """The connection is not logged in. Whether its address may have that many such."""
        if not session.counted:
            session.counted = True
            self._by_address[session.address] = self._by_address.get(session.address, 0) + 1
        limit = self._context.config.unauthenticated_per_address
        return self._by_address[session.address] <= limit

    def uncount(self, session: Session) -> None:
        """The connection is logged in, or has ended."""
        if session.counted:
            session.counted = False
            left = self._by_address.pop(session.address) - 1
            if left:
                self._by_address[session.address] = left
