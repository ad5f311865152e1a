"""``dvc models update``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from dvc.cli.completion import FILE

from dvc_studio_models.cli import completion
from dvc_studio_models.cli.base import CmdModels
from dvc_studio_models.cli.options import (
    add_all,
    add_command,
    add_json,
    add_repo,
    add_selectors,
    add_source,
    read_options,
)
from dvc_studio_models.cli.output import shorten
from dvc_studio_models.cli.summaries import SUMMARIES

if TYPE_CHECKING:
    import argparse

    from dvc_studio_models.cli.options import Commands
    from dvc_studio_models.model import Pin
    from dvc_studio_models.operations.update import ModelUpdate, UpdateResult

SUMMARY = SUMMARIES["update"]
DESCRIPTION = f"""\
{SUMMARY}
Downloads no files: run 'dvc models pull --locked' for that.

Without NAME: every model that was locked from a stage, or as the latest version. NAME
alone is updated as it was locked; NAME#STAGE or NAME@VERSION locks that from now on,
and adds models.
"""


class CmdModelsUpdate(CmdModels):
    """Renews the lock file."""

    def run(self) -> int:
        """Update, and print which pins have moved."""
        from dvc.ui import ui

        from dvc_studio_models.errors import ModelNotFoundError
        from dvc_studio_models.operations.update import update

        args = self.args
        options = read_options(args)
        result = update(args.name, options, check=args.check)
        if args.json:
            self.print_json(_to_json(result))
        else:
            ui.write(_format_result(result, args))
        if result.left_out:
            return ModelNotFoundError.exit_code
        return int(args.check and not result.up_to_date)


def _to_json(result: UpdateResult) -> dict[str, Any]:
    return {
        "repo": result.repo,
        "lock": os.path.relpath(result.lock),
        "up_to_date": result.up_to_date,
        **({"left_out": list(map(str, result.left_out))} if result.left_out else {}),
        "models": [_model_to_json(model, result.repo) for model in result.models],
    }


def _model_to_json(model: ModelUpdate, repo: str | None) -> dict[str, Any]:
    ref = model.ref
    return {
        "name": ref.name,
        "requested": ref.requested,
        **({"repo": ref.repo} if ref.repo not in {None, repo} else {}),
        "moved": model.moved,
        "from": _pin_to_json(model.before) if model.before else None,
        "to": _pin_to_json(model.after),
    }


def _pin_to_json(pin: Pin) -> dict[str, Any]:
    from dvc_studio_models.operations.update import content_hash

    return {
        "requested": pin.ref.requested,
        "version": pin.version,
        "commit": pin.commit,
        "md5": content_hash(pin),
    }


def _format_result(result: UpdateResult, args: argparse.Namespace) -> str:
    name = os.path.relpath(result.lock)
    lines = [_format_update(model) for model in result.models if model.moved]
    if not lines:
        return f"{name} is up to date"
    option = [] if name == "models.lock" or not args.lock else [name]
    if args.check:
        command = shlex.join(["update", *args.name, *_options(args)])
        lines.append(f'  (use "dvc models {command}" to update {name})')
    else:
        command = shlex.join(["pull", "--locked", *option])
        lines.append(f'  (use "dvc models {command}" to pull the locked versions)')
    return "\n".join(lines)


def _options(args: argparse.Namespace) -> list[str]:
    """Return the options that select what is updated, as they were given."""
    from dvc_studio_models.registry.urls import strip_secrets

    given = {
        "--stage": args.stage,
        "--version": args.version,
        "--repo": args.repo and strip_secrets(args.repo),
        "--git-remote": args.git_remote,
        "--lock": args.lock,
        "--source": args.source,
    }
    options = ["--all"] if args.all_models else []
    for option, value in given.items():
        options += [option, str(value)] if value else []
    return options


def _format_update(model: ModelUpdate) -> str:
    """Format a change: ``churn#prod v2.0.0 -> v2.1.0``."""
    before, after = model.before, model.after
    if before is None:
        return f"{after.ref} -> {_describe(after)} (new)"
    described = _describe(before), _describe(after)
    if described[0] == described[1]:
        described = _describe(before, exact=True), _describe(after, exact=True)
    if described[0] == described[1]:
        text = f"{after.ref} {_describe(after)}"
    else:
        text = f"{after.ref} {described[0]} -> {described[1]}"
    if before.ref.selector == after.ref.selector:
        return text
    return f"{text} (was {before.ref.selector or 'the latest'})"


def _describe(pin: Pin, *, exact: bool = False) -> str:
    """Name a version; its hash if it has none, or both and the commit to be exact."""
    from dvc_studio_models.operations.update import content_hash

    digest = shorten(content_hash(pin))
    if not exact:
        return pin.version or digest
    known = [digest, *([shorten(pin.commit)] if pin.commit else [])]
    return f"{pin.version or digest} ({', '.join(known)})"


def add_parser(commands: Commands, parent_parser: argparse.ArgumentParser) -> None:
    """Add ``update`` to the commands of ``dvc models``."""
    parser = add_command(
        commands, parent_parser, "update", summary=SUMMARY, description=DESCRIPTION
    )
    parser.add_argument(
        "name",
        nargs="*",
        metavar="<name>",
        help="Model: NAME, NAME@VERSION or NAME#STAGE, or a glob in quotes. Default: "
        "see above.",
    )
    add_all(parser, "Lock")
    add_selectors(parser, "Lock")
    add_repo(parser)
    parser.add_argument(
        "--lock",
        metavar="<file>",
        default=False,
        help="Lock file (default: models.lock in the root of the Git repo).",
    ).complete = FILE  # type: ignore[attr-defined]
    add_source(
        parser,
        "Where to look up versions: Studio (default), or local Git tags ('remote', "
        "'cache').",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="Write nothing, and exit with 1 if the lock file would change.",
    )
    add_json(parser)
    completion.complete_models(parser)
    parser.set_defaults(func=CmdModelsUpdate)
