"""Files to URLs: links that this server or a cloud signs."""
