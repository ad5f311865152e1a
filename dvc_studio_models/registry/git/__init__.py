"""How a repository of Git is read: refs, objects, config, index.

``reader`` says what can be read, and opens a repository: by ``program``, which runs
``git`` (``process``), or by ``library``, where it is not installed. ``tree`` is one
commit's files as DVC takes them.
"""
