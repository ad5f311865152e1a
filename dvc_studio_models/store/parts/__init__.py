"""Part files: ``folder`` keeps them, ``part`` is one of them with its record."""
