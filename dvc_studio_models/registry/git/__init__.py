"""Reads a Git repository: refs, objects, config, index.

``reader`` has the interface. ``open`` chooses ``program``, which runs ``git``
(``process``), or ``library``, where Git is not installed. ``parsing`` reads the output
of ``git``, and ``signatures`` verifies tags. ``tree`` has the files of one commit for
DVC. ``mirrors`` clones and fetches for the server.
"""
