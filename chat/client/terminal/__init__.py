"""What a user sees and types: commands, line mode, rendering, the console.

Two modes are built on it: a user at a terminal (interactive.py), and a script from a pipe
(chat/client/scripts.py). Nothing here knows of sockets: the modes talk to a ClientSession by events
and notices.
"""
