"""The command line: `up` starts the stack, everything else is a client of the HTTP API."""
