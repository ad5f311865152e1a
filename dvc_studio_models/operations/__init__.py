"""The order of things: pull, status, list, lock. No I/O of its own."""
