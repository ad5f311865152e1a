"""DVC's cache, state and remotes; part files."""
