"""The bus between nodes: bus messages, which are hints, and the presence directory.

A bus is a client of something that the nodes share (Redis, one process, nothing). It decides
nothing: what it loses is found again by the core's anti-entropy. It imports the core's ports, and
nothing of chat/net or chat/storage.
"""
