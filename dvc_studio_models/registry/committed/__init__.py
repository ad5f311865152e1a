"""What is used of DVC's files in a commit, which anybody may have written.

``config`` keeps the options of a ``.dvc/config`` that say where data is. ``bounds``
refuses files that would take too much time or memory to parse.
"""
