"""Python modules from the model: messages, rules, errors. Writes no file; returns texts."""
