"""The protocol, specified once in messages.yaml, and the generator of code and documents from it.

Only development needs this package: nothing in chat/ may import it.
"""
