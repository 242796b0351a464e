"""Requests: which one is taken when, and each request from its first operation to its reply.

Permissions are not decided here: the transaction of a store operation decides them.
"""
