"""All error replies: their facts, messages and HTTP statuses. No I/O.

Owns the sentences that clients get. None of them names a secret or a path of this
machine.
"""
