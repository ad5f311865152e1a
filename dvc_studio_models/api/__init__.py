"""The Python interface: what ``from dvc_studio_models import ...`` offers.

One function a command, with its options as keyword arguments. The functions print
nothing, return frozen values, raise the errors in :mod:`dvc_studio_models.errors`, and
may be called from any thread.
"""

__all__ = ["models", "pull"]
