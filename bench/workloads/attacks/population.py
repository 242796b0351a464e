"""The users, groups and logs of the store that is attacked.

They are inserted before the node starts, so that an attack begins at once and no legitimate user
uses up a limit by registering.
"""

from typing import Final

from bench.targets.fixtures import add_devices, add_entries, add_friends, add_group, add_users
from chat.storage.backends.connection import DatabaseConnection

TALKERS: Final = range(1, 17)
"""Legitimate users who chat; each odd one and the next are friends."""
ARRIVALS: Final = range(17, 57)
"""Legitimate users who log in or resume while others chat."""
HEAVY_USER: Final = 101
"""The attacker with many friends and groups, owner of LARGE_GROUP and LOG_GROUP."""
HEAVY_DEVICES: Final = 20
"""Devices of HEAVY_USER, so that no limit on the connections of one device stops it."""
ATTACKERS: Final = range(201, 301)
MEMBERS: Final = range(1_001, 6_001)
"""Users without a connection; their accounts are those that a login flood tries."""

LARGE_GROUP: Final = 100
"""HEAVY_USER, MEMBERS and TALKERS."""
LOG_GROUP: Final = 101
"""HEAVY_USER and ATTACKERS, with a log of LOG_ENTRIES long texts."""
OPEN_GROUP: Final = 102
"""TALKERS; the group that attackers join and leave."""
LOG_ENTRIES: Final = 1_000
ENTRY_LETTERS: Final = 2_000
HEAVY_ROSTER: Final = 100
"""Friends of HEAVY_USER, and groups of which it is the only member."""
_HEAVY_FRIENDS: Final = 1_000
_HEAVY_GROUPS: Final = 2_000
"""First conversations of the friends and of the groups of HEAVY_USER."""


def fill(connection: DatabaseConnection) -> None:
    for users in (TALKERS, ARRIVALS, range(HEAVY_USER, HEAVY_USER + 1), ATTACKERS, MEMBERS):
        add_users(connection, users.start, len(users))
    add_devices(connection, HEAVY_USER, HEAVY_DEVICES)
    add_friends(connection, [(user, user + 1) for user in TALKERS[::2]], 1)
    add_group(connection, LARGE_GROUP, [HEAVY_USER, *TALKERS, *MEMBERS])
    add_group(connection, LOG_GROUP, [HEAVY_USER, *ATTACKERS])
    add_group(connection, OPEN_GROUP, TALKERS)
    add_entries(
        connection,
        LOG_GROUP,
        HEAVY_USER,
        (f"{number} ".ljust(ENTRY_LETTERS, "x") for number in range(LOG_ENTRIES)),
    )
    friends = [(HEAVY_USER, user) for user in MEMBERS[:HEAVY_ROSTER]]
    add_friends(connection, friends, _HEAVY_FRIENDS)
    for conversation in range(_HEAVY_GROUPS, _HEAVY_GROUPS + HEAVY_ROSTER):
        add_group(connection, conversation, [HEAVY_USER])
