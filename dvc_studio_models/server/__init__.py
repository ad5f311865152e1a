"""``dvc models serve``: Studio's API over local clones or bare repos.

Owns the HTTP server, its access log and its limits. Inside, each level imports only
those below it:

    service, app, limits  listens; the table of routes
    workers               several processes at one address
    metrics_folder        the folder of metrics that they share
    web/                  pages for people, and the session of who has signed in
    routes/               HTTP in, JSON and objects out
    site/                 the served repos and who may see them, as they are now
    access/, links/       tokens -> principals; stored files -> signed links
    catalog/              requested model -> stored files
    stores/               DVC remotes, by the configs of the repos
    repos/                requested URL -> served repo
    mirrors/              clones and fetches of repos with a URL; how fresh they are
    waiting/              threads, limits and results that requests share
    monitoring/           access log and metrics
    config/, errors/      the operator's choices; all error replies

Promises to write nothing but mirrors and what workers share, to open no repo
because a request names it, to send neither credentials nor paths of this machine to
clients, and that a repo or a DVC remote that hangs delays no other repo.
"""

__all__ = [
    "config.exposure",
    "config.file",
    "config.token_file",
    "config.values",
    "monitoring.logs",
    "service",
    "site.check",
    "workers",
]
