"""``dvc models serve``: Studio's API over local clones or bare repos.

Owns the HTTP server, its access log and its limits. Inside, each level imports only
those below it:

    service, app, access, objects, limits, settings   HTTP in, JSON and objects out
    links/     stored files -> signed links, of this server or of a cloud
    catalog/   requested repo and model -> stored files

Promises to write nothing, to open no repo because a request names it, to send neither
credentials nor paths of this machine to clients, and that a repo or a DVC remote that
hangs delays no other repo.
"""

__all__ = ["service", "settings"]
