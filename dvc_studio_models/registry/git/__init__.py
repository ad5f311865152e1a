"""Reads a Git repository: refs, objects, config, index.

``reader`` has the interface, and opens a repository with ``program``, which runs
``git`` (``process``), or with ``library``, where Git is not installed. ``tree`` has the
files of one commit for DVC.
"""
