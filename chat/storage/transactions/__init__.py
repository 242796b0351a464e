"""The transactions of accounts, friendships, groups, rosters and logs: functions of a connection and
an operation, which run within a transaction of the caller's.

They neither begin nor commit it, and say no by raising `Refusal`. Locks are taken in one order by
all of them: conversations by number, then users by number.
"""
