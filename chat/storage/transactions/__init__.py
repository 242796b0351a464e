"""The transactions of accounts, friendships, groups, rosters and logs.

They are functions of a connection and an operation, run within a transaction of the caller's. They
neither begin nor commit it, and refuse an operation by raising `Refusal`. All of them take locks in
one order: conversations by number, then users by number.
"""
