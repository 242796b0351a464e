"""The store, which holds all that must outlive a node: an SQL database, and what runs on it.

From the bottom up: `backends` connect to a database and speak its dialect; `transactions` read and
write the tables; `append` stores texts, many in one transaction; `dispatch` finds the transaction
of an operation; `group_commit` says which operations share one; `retries` runs it, again where that
is safe; `service` does all this in threads.

An operation is decided within its transaction, under locks. Nothing here knows of connections,
sessions or the bus, and nothing keeps a state that a database does not have, but for the append
cache, which is verified at each use.
"""
