"""``dvc models cache verify``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.cache.ls import add_cache_dir, add_names
from dvc_studio_models.cli.options import add_command, add_json

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.operations.cache.verify import DamagedObject, VerifyResult

DESCRIPTION = """\
Hash the versions of models in the cache again, and name what is damaged.

Exits with 6 if an object does not have the content that its name promises.
"""

_EXIT_DAMAGED = 6


class CmdModelsCacheVerify(CmdModels):
    """Verifies what is in a cache."""

    def run(self) -> int:
        """Verify, and print what is damaged."""
        from dvc_studio_models.cli.progress import make_progress
        from dvc_studio_models.operations.cache.verify import VerifyOptions, verify

        args = self.args
        options = VerifyOptions(
            cache_dir=args.cache_dir,
            whole_cache=args.whole_cache,
            fix=args.fix,
            wait_for_lock=getattr(args, "wait_for_lock", False),
        )
        is_silent = args.quiet or args.json
        progress = make_progress("Verifying", "none" if is_silent else "auto")
        with contextlib.closing(progress):
            result = verify(args.names, options, progress.update_bytes)
        if args.json:
            self.print_json(_to_json(result))
        else:
            _print(result)
        return 0 if result.is_whole else _EXIT_DAMAGED


def _print(result: VerifyResult) -> None:
    from dvc.ui import ui

    from dvc_studio_models.model import format_bytes

    for damaged in result.damaged:
        state = "removed" if damaged.is_removed else "damaged"
        ui.write(f"{state}: {damaged.path}", force=True)
        if what := _describe(damaged):
            ui.write(f"  {what}", force=True)
        if damaged.linked_from:
            ui.write(
                f"  kept: '{damaged.linked_from}' is a link to it, through which it "
                "may have been edited",
                force=True,
            )
    count = len(result.damaged)
    objects = "1 object" if result.checked == 1 else f"{result.checked} objects"
    summary = f"{objects}, {format_bytes(result.checked_bytes)}: "
    if not count:
        ui.write(f"{summary}all have their content.")
        return
    ui.write(f"{summary}{count} damaged.")
    if not result.is_whole and not any(each.linked_from for each in result.damaged):
        ui.write("Remove them with '--fix'; the next pull downloads them again.")


def _describe(damaged: DamagedObject) -> str:
    models = ", ".join(damaged.models)
    files = ", ".join(damaged.files[:3])
    more = len(damaged.files) - 3
    if more > 0:
        files += f" and {more} more"
    return ": ".join(filter(None, [models, files]))


def _to_json(result: VerifyResult) -> dict[str, Any]:
    return {
        "cache": result.folder,
        "objects": result.checked,
        "size": result.checked_bytes,
        "damaged": [
            {
                "path": each.path,
                "md5": each.digest.value,
                "models": list(each.models),
                "files": list(each.files),
                "removed": each.is_removed,
                "linked_from": each.linked_from,
            }
            for each in result.damaged
        ],
    }


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``verify`` to the commands of ``dvc models cache``."""
    parser = add_command(
        commands,
        parent_parser,
        "verify",
        summary="Hash the versions in the cache again, and name what is damaged.",
        description=DESCRIPTION,
    )
    add_names(parser, "Verify")
    parser.add_argument(
        "--all",
        dest="whole_cache",
        action="store_true",
        help="Verify the whole cache, and not only models.",
    )
    parser.add_argument(
        "--fix",
        action="store_true",
        help="Remove what is damaged, so that the next pull downloads it again.",
    )
    add_cache_dir(parser)
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsCacheVerify)
