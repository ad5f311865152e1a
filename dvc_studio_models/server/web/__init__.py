"""The pages that people look at: a list of models, one model, and the sign-in.

Rendered here, without a script being needed. Each request checks the token anew that
somebody has signed in with, so a page shows no more than the API does at that moment.
Reads no file after the start, and nothing of Git on the event loop.
"""
