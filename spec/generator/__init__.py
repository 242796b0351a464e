"""From spec/messages.yaml to code and documents: load, check, then one module an output."""
