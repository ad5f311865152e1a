"""Where a model's files come from: Studio, or the clone by itself."""
