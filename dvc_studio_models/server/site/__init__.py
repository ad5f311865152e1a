"""Everything that requests are answered from: the served repos, and who may see them.

Owns the state of a running server. It changes as a whole when the operator's config
does; what did not change stays warm.
"""
