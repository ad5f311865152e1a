"""What Git says of a repository's models: its URL, its tags, its DVC files at a commit.

Owns every read of Git, for the client and the server alike: ``reader`` chooses who
reads (``program``, or ``library`` without ``git``), ``tags`` counts GTO's tags,
``records`` reads what a commit records of a model, ``clone`` and ``urls`` say which
repo this is. Promises that each answer is what ``git``, GTO and DVC say, that no read
lasts for ever, and that none runs a program that a repository's config names.
"""
