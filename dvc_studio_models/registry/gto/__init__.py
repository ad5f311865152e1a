"""GTO's tags: ``tags`` reads them, ``counting`` counts them by GTO's rules.

``history`` reads who made them, when and why; ``details`` adds what a commit records.
``signed`` says whether the tags that decide are signed.
"""
