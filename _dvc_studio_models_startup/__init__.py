"""The hook by which ``dvc`` learns of our command: a finder that waits for one module.

``dvc-studio-models.pth`` imports this at every start of Python, if it is there: a
source tree may have moved. It imports nothing but ``sys``, as ``typing`` or ``logging``
would slow every program of the environment. The work is left to
``dvc_studio_models.plugin``, in processes that run DVC's command line.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class ParserFinder:
    """Knows ``dvc.cli.parser`` and no other module."""

    @classmethod
    def find_spec(
        cls,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """Answer for DVC's parser with its real spec, its loader wrapped; else None."""
        if name != "dvc.cli.parser":
            return None
        try:
            return cls._find_parser(name, path, target)
        except Exception as exc:  # noqa: BLE001 - DVC must work, however broken we are
            _warn(exc)
        return None

    @classmethod
    def _find_parser(
        cls,
        name: str,
        path: "Sequence[str] | None",
        target: "ModuleType | None",
    ) -> "ModuleSpec | None":
        import os

        if os.environ.get("DVC_STUDIO_MODELS_NO_PLUGIN", "0") not in {"", "0"}:
            return None
        try:
            from dvc_studio_models.plugin import wrap_loader
        except ModuleNotFoundError:  # it was deleted
            raise
        except ImportError as error:
            if error.name != "dvc_studio_models":
                raise
            import functools

            from _dvc_studio_models_startup import unsupported

            wrap_loader = functools.partial(unsupported.wrap_loader, message=str(error))
        # Only those after us: a finder like this one would ask us back without end.
        finders = iter(sys.meta_path)
        any(finder is cls for finder in finders)
        for finder in finders:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return wrap_loader(spec)
        return None


def start() -> None:
    """Put the finder first, once; importing this module has done it already."""
    if ParserFinder not in sys.meta_path:
        sys.meta_path.insert(0, ParserFinder)


def _warn(exc: Exception) -> None:
    import logging

    logging.getLogger("dvc").warning(
        "going on without the commands of dvc-studio-models: %r", exc
    )


start()
