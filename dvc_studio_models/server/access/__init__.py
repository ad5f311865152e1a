"""Who may see which repo: tokens, and how they are checked."""
