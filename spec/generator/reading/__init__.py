"""Reads messages.yaml into the model, and finds its mistakes. Nothing is generated here."""
