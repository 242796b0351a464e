"""What people ask for: which request is taken when, and each request from its first operation to
its reply."""
