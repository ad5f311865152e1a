"""Stored files to links: ``local`` for this server, ``clouds`` for S3 and others."""
