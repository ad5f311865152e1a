"""The DVC remotes of the served repos: their configs, file systems and objects.

Owns every read of a DVC config and of a DVC remote.
"""
