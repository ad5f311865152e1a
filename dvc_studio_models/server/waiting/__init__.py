"""How long requests wait, and what they share: threads, limits and results."""
