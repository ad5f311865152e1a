"""libcurl, as storage requires it; no policy of ours.

routes     how an origin is reached: proxy, CA bundle
handle     libcurl's handles and failures
exchange   one request, and what it has received
"""
