"""The mirrors of repos with a URL: cloned and fetched in threads, in turns with others.

Owns the folder of mirrors. In it, each mirror has its bare repo (``places``), a small
file with the time of the last good fetch and the last error (``state``), and a lock.
Several processes may share the folder: whoever has the lock fetches (``upkeep``), all
others read the file (``mirrors``). A damaged repo is replaced (``repair``).
``webhooks`` checks signatures.
"""
