"""What is in a cache, who needs it, and the removal of the rest."""
