"""Friends, groups and friend requests of the connected users, presence, and read receipts.

Nothing here changes a roster: requests do that in the store; this package learns the new version
and pushes the difference.
"""
