"""Documents from the model: PROTOCOL.md, AsyncAPI, state diagram. Returns texts, writes no file."""
