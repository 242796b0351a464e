"""Delivery of entries: the log's order, cursors, catch-up, fan-out and subscriptions.

Every entry that reaches a connection goes through here. Nothing here handles a request, or decides
who may read or write.
"""
