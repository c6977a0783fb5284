"""Phone numbers: how they are read, whose they are, and where their owners live."""
