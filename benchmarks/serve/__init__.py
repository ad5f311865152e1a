"""Measures the time and memory of ``dvc models serve``: ``make bench-serve``.

load        the server on one core, and requests from another: many by wrk
registries  the repos that are served
rows        what is measured, and the goals
team        200 repos of a team, with tokens of some repos each
soak        ``make soak``: minutes of fetches, reloads and clients; nothing may break

Everything runs on loopback. The benchmark takes about three minutes.
"""
