"""The wire, for every program that speaks it: messages, errors and rules, which
spec/generate.py writes, and the codec between bytes and messages. It imports nothing of ours."""
