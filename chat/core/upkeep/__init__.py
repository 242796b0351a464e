"""What happens without a request: time-outs, admission, and comparison with the store.

Nothing here delivers an entry or changes a roster: what is found missing is handed to delivery/ and
roster/.
"""
