# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`.
"""What spec/messages.yaml says, as code."""
