"""A DVC project as the store of a pull, through DVC's own code.

``store`` is the store. ``project`` opens a project, and ``light`` reads its config and
state without DVC where that is faster. ``objects`` checks and adds objects of the
cache, ``links`` makes files from them, ``remote`` fetches from a DVC remote,
``locking`` holds DVC's lock.
"""
