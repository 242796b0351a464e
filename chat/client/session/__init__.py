"""The client's side of the protocol, pure: events in, effects out.

The way in is `ClientSession` (client_session.py); what it takes and gives is in ports/. Nothing
here knows of sockets, screens, clocks or random numbers: time comes with each event, and what is
random is given to the session when it is made.
"""
