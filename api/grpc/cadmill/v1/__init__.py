"""cadmill.v1: the protocol, and what `make proto` generates from it."""
