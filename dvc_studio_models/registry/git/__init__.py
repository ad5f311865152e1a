"""Reads a Git repository: refs, objects, config, index.

``reader`` has the interface. ``open`` chooses ``program``, which runs ``git``
(``process``), or ``library``, where Git is not installed. ``tree`` has the files of one
commit for DVC.
"""
