"""The models that a command is for: globs and ``--all``, replaced by names.

Globs are those of ``fnmatch`` on full names, and may have a selector: ``team-*#prod``.
Models without the requested version or stage are left out, with a note.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NoModelMatchesError, NotLockedError, UsageError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import ModelRef
from dvc_studio_models.registry.gto.tags import format_names
from dvc_studio_models.registry.lockfile import read_default

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.model import ModelSummary, Pin, PullOptions
    from dvc_studio_models.sources.context import PullContext

logger = get_logger(__name__)

_GLOB = re.compile(r"(?P<pattern>[^@#]*[*?\[][^@#]*)(?P<selector>[@#].*)?")
_DVC_YAML = re.compile(r"(?:\A|/)dvc\.yaml:")


def expand_names(
    names: Sequence[str], context: PullContext, options: PullOptions
) -> list[str]:
    """Replace globs, or nothing if all models are wanted, by the names of models.

    Args:
        names: As the user typed them.
        context: With the clone, whose tags register the models.
        options: Whether all are wanted; the stage or version for names without a
            selector of their own.

    Raises:
        UsageError: All are wanted, and names are given too; or a selector is not valid.
        NoModelMatchesError: No registered model matches a glob, or none that has the
            version or stage.
        StudioModelsError: The registered models cannot be read.
    """
    if options.all_models and names:
        msg = "'--all' selects every model: leave out NAMEs"
        raise UsageError(msg)
    if options.all_models:
        names = ["*"]
    if not any(map(_GLOB.fullmatch, names)):
        return list(names)
    from dvc_studio_models.sources.registered import list_registered

    models = list_registered(context, options)
    if not models and (known := _known_names(context, options)):
        return _expand_known(names, known)
    return [each for name in names for each in _expand(name, models, context, options)]


def _known_names(context: PullContext, options: PullOptions) -> list[str]:
    """List the models that the lock file or an earlier pull knows.

    They may be of other repos, whose servers decide which versions there are.
    """
    if options.repo is not None or context.clone is None:
        return []
    return sorted({*read_default(context.clone.root), *_pulled_repos(context)})


def _expand_known(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Replace globs by known names.

    Raises:
        NoModelMatchesError: None matches.
    """
    found: list[str] = []
    for name in names:
        glob = _GLOB.fullmatch(name)
        if not glob:
            found.append(name)
            continue
        matching = [each for each in known if _matches(each, glob["pattern"])]
        if not matching:
            raise NoModelMatchesError(
                glob["pattern"], None, format_names("known models", known)
            )
        found += [f"{each}{glob['selector'] or ''}" for each in matching]
    return found


def expand_locked(names: Sequence[str], known: Iterable[str], path: Path) -> list[str]:
    """Replace globs by the names of locked models.

    Raises:
        NotLockedError: No locked model matches a glob.
    """
    known = list(known)
    return [each for name in names for each in _match_locked(name, known, path)]


def _match_locked(name: str, known: Sequence[str], path: Path) -> list[str]:
    glob = _GLOB.fullmatch(name)
    if not glob or glob["selector"]:
        return [name]
    found = [each for each in known if _matches(each, glob["pattern"])]
    if not found:
        raise NotLockedError(name, path, known)
    return found


def _expand(
    name: str,
    models: Sequence[ModelSummary],
    context: PullContext,
    options: PullOptions,
) -> Iterator[str]:
    glob = _GLOB.fullmatch(name)
    if not glob:
        yield name
        return
    selector = glob["selector"] or ""
    ref = ModelRef.parse(
        f"model{selector}",
        version=None if selector else options.version,
        stage=None if selector else options.stage,
    )
    pattern = _DVC_YAML.sub(":", glob["pattern"]).removeprefix(":")
    matching = [model for model in models if _matches(model.name, pattern)]
    found = [model.name for model in matching if model.has(ref)]
    if not found:
        from dvc_studio_models.sources.registered import is_of_clone

        known = [model.name for model in models]
        raise NoModelMatchesError(
            None if options.all_models else glob["pattern"],
            _describe(ref) if matching else None,
            format_names("registered models", known),
            is_remote=not is_of_clone(context, options),
        )
    left_out = [model.name for model in matching if not model.has(ref)]
    if left_out:
        count = f"{len(left_out)} model{'' if len(left_out) == 1 else 's'}"
        what = f"left out {count} without {_describe(ref)}"
        context.tell_once(format_names(what, left_out))
    yield from (f"{each}{selector}" for each in found)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def _describe(ref: ModelRef) -> str:
    if ref.stage:
        return f"stage '{ref.stage}'"
    return f"version {ref.version}" if ref.version else "a version"


# Repos


def with_known_repos(
    refs: Sequence[ModelRef],
    pins: Mapping[str, Pin],
    context: PullContext,
    options: PullOptions,
) -> list[ModelRef]:
    """Set the repos of models that are pinned, or that only an earlier pull knows.

    Args:
        refs: Without repos.
        pins: Of the lock file; others were pulled before.
        context: With the clone and its receipts.
        options: Whether a repo is named, which then counts.

    Raises:
        UnreadableRepoError: Git cannot read the tags.
    """
    if options.repo is not None or context.clone is None:
        return list(refs)
    repos = {name: pin.ref.repo for name, pin in pins.items()}
    tags = context.open_registry().tags
    unknown = [r for r in refs if r.name not in pins and tags.find(r.name) is None]
    if unknown:
        pulled = _pulled_repos(context)
        for ref in unknown:
            found = pulled.get(ref.name, [None])
            if len(found) > 1:
                listed = ", ".join(map(str, found))
                msg = f"'{ref.name}' of several repos is here: name one with '--repo'"
                msg = f"{msg} ({listed})"
                raise UsageError(msg)
            repos[ref.name] = found[0]
    return [replace(ref, repo=repos.get(ref.name)) for ref in refs]


def _pulled_repos(context: PullContext) -> dict[str, list[str | None]]:
    """Return the repos from which models were pulled, by the models' names."""
    from dvc_studio_models.operations.inventory import Inventory

    with contextlib.closing(Inventory(context.folder, context.clone)) as inventory:
        repos: dict[str, list[str | None]] = {}
        for receipt in inventory.receipts():
            repos.setdefault(receipt.model, []).append(receipt.repo)
        return repos
