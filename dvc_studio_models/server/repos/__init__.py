"""The served repos: which there are, by all their URLs, and whether one has changed."""
