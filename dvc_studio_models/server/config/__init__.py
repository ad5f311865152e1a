"""The operator's choices, from the command line or from ``serve.yaml``."""
