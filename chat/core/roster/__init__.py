"""Friends, groups and requests of the users connected here, who is online, and read receipts."""
