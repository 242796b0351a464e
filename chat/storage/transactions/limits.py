"""How much one user may have: open friend requests, and groups.

A limit is checked by the transaction that is about to add one more, under the lock of the user's
row; every transaction that adds one takes that lock. So no two of them, on whatever node, see the
same last free place. No more than the limit is counted, in an index that holds nothing else.

Nothing else is refused for a limit. To accept a request makes a friend and ends a request; and the
member who inherits a group becomes its owner, however many the member owns already.
"""

from typing import Final

from chat.core.ports.operations import LimitReached, UserLimit
from chat.protocol.errors import ErrorCode
from chat.storage.backends.connection import DatabaseConnection
from chat.storage.transactions.access import OWNER, Refusal

_ROWS: Final = {
    UserLimit.OPEN_REQUESTS_MADE: "friendships WHERE user_id = ? AND conversation_id IS NULL",
    UserLimit.OPEN_REQUESTS_RECEIVED: "friendships WHERE friend_id = ? AND conversation_id IS NULL",
    UserLimit.GROUPS_OWNED: f"members WHERE user_id = ? AND in_group = 1 AND role = '{OWNER}'",
    UserLimit.GROUPS_JOINED: "members WHERE user_id = ? AND in_group = 1",
}


def check_limit(connection: DatabaseConnection, limit: UserLimit, most: int, user: int) -> None:
    """Raises Refusal(limit_reached) if the user has `most` of them already. The user's row must be
    locked."""
    ((count,),) = connection.query(
        f"SELECT COUNT(*) FROM (SELECT 1 AS one FROM {_ROWS[limit]} LIMIT ?) counted",
        (user, most),
    )
    if count >= most:
        raise Refusal(ErrorCode.LIMIT_REACHED, LimitReached(limit, most))
