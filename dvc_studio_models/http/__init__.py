"""All HTTP of the client: to Studio, and to storage.

    studio/       Studio's API: a model's name in, files with signed URLs out
    signed_urls   the current signed URL of each file
    storage       one request to storage
    response      its response: the requested bytes, or a signal
    limit         the rate of all transfers together
    batch         many requests for small bodies, driven by one thread
    stream        requests whose bodies are read as they arrive, on any thread
    curl/         libcurl: routes, handles, what was received
    hosts/        Git hosts and issuers of tokens; the token of a CI job
    decoding      bodies that are encoded unasked
    session       sessions of requests, for Studio and hosts
    urls          which URLs may be requested, and where redirects may lead
    failures      which failures are worth another try, and their descriptions

Promises that a token is sent to Studio's own origin only, that no URL's query reaches a
message or a log, that no server is waited for without end, and that no error of
``requests``, ``urllib3`` or ``pycurl`` leaves this package. Studio is asked with
``requests``, storage with libcurl.
"""

__all__ = [
    "batch",
    "hosts.client",
    "limit",
    "response",
    "signed_urls",
    "storage",
    "studio.client",
    "studio.listing",
    "studio.reply",
    "studio.request",
]
