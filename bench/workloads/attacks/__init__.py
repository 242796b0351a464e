"""Attacks on a node with its default limits, and what its legitimate users notice of them.

Attackers, legitimate users and the node are processes of their own. Attackers may not know anything
of a node but its port and its protocol, and may not obey what it asks for.
"""
