"""The network side of a node: sockets, PROXY headers, the driver, the password hasher, recordings.

The driver runs the core on an asyncio loop. What a node does is decided in the core: nothing here
reads what is in a frame, and nothing here keeps state of a session.
"""
