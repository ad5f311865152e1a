"""The source that is the clone by itself: Git, its DVC remotes, its imports."""
