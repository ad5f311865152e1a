"""Arguments that a program without types may get wrong."""

from __future__ import annotations

from dvc_studio_models.errors import UsageError


def check_names(names: tuple[object, ...]) -> None:
    """Refuse names that are no texts, such as one list of all names.

    Raises:
        UsageError: A name is not a text.
    """
    for name in names:
        if not isinstance(name, str):
            msg = (
                f"a model's name is a text, not {type(name).__name__}: "
                "give each name as an argument of its own"
            )
            raise UsageError(msg)
