"""The Python interface: what ``from dvc_studio_models import ...`` offers.

Functions of commands, with their options as keyword arguments. The functions print
nothing, return frozen values, raise the errors in :mod:`dvc_studio_models.errors`, and
may be called from any thread.
"""

__all__ = ["models", "pull"]
