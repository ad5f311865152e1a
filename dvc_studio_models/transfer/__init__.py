"""Signed URLs to verified files: threads, ranges, retries, hashing."""
