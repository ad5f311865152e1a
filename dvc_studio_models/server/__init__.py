"""A Studio of one's own: the one endpoint of its API, over local clones.

    command     argv                       options, tokens, what is refused
    app         HTTP in                    routes, auth, the access log, ``run``
    catalog     Git remotes                a request's ``repo`` -> a served repo
    storage     GTO tags, DVC files        name, version, stage -> stored objects
    signing     a secret key               stored object -> link, link -> object
    clouds      S3, Azure, Google, http    stored object -> their own links
    kept        memory                     what never changes, worked out once
    refusals    no I/O                     every answer that is not 200

Nothing is written, and nothing is opened because a request names it.
"""
