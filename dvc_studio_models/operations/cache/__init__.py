"""``dvc models cache``: what is in a cache, and the removal of what nothing needs.

    context     the cache of a folder, and all that is known to use it
    roots       a clone, a DVC project or a folder that uses a cache
    versions    the versions of models in a cache
    needs       the objects that something needs, and why
    collecting  all that may need objects, read from Git, DVC and receipts
    listing     ``ls``: versions, parts of unfinished pulls, sizes
    choice      which versions to remove; no I/O
    prune       ``prune``: the removal
    verify      ``verify``: all objects hashed again

Promises to remove an object only if it belongs to a version of a model, and neither a
working tree, a branch, a stage, a lock file nor a receipt needs it. Nothing is removed
if one of these cannot be read.
"""
