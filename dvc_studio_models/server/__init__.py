"""A Studio of one's own: the one endpoint of its API, over local clones.

    command      argv                       options, tokens, what is refused
    settings     no I/O                     what the operator chose
    service      sockets, signals           listens, says where, stops when told
    connections  bytes and time             what a connection may take
    app          HTTP in                    routes, and what they answer with
    access       headers in, a log out      who may ask, and who did
    patience     threads                    how long a request waits, and for whom
    catalog      Git remotes                a request's ``repo`` -> a served repo
    storage      tags and remotes           name, version, stage -> stored objects
    stored       DVC remotes                what DVC recorded -> files and objects
    remotes      DVC's config               a name -> a DVC remote
    configs      files, Git                 a DVC project -> its config as it is now
    shared       threads                    one read of Git for all who ask for it
    presence     DVC remotes                which objects are there
    watch        times of files             whether the refs changed
    signing      a secret key               stored object -> link, link -> object
    clouds       S3, Azure, Google, http    stored object -> their own links
    kept         memory                     what never changes, worked out once
    refusals     no I/O                     every answer that is not 200

Nothing is written, and nothing is opened because a request names it.
"""
