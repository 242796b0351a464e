"""Load on a cluster: users, drawn scenarios, and an adversary that breaks the protocol.

Nothing here injects a fault or checks a result.
"""
