"""What happens without a request: time-outs, admission, and comparison with the store."""
