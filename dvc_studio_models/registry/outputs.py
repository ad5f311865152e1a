"""Finds what DVC recorded for a path at a commit: outputs, out of DVC's own files."""

from __future__ import annotations

import contextlib
import logging
import os
import posixpath
from typing import TYPE_CHECKING

from dvc_studio_models.model import Digest
from dvc_studio_models.registry.recorded import (
    CloudVersion,
    Import,
    RecordedFile,
    RecordedOutput,
    is_inside,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

logger = logging.getLogger(f"dvc.{__name__}")


def digest_of(recorded: HashInfo | None) -> Digest | None:
    """Return the hash as a digest, or None where it is none that names content."""
    with contextlib.suppress(TypeError, ValueError):
        return Digest(recorded.name, recorded.value) if recorded else None
    return None


def find_outputs(project: Repo, path: str, folder: str) -> list[Output]:
    """Find the output that a path is or is in, or else the outputs below it.

    The likeliest files are looked into first, and as a rule nothing else.

    Args:
        project: At a commit.
        path: Relative to the Git root.
        folder: Of the ``dvc.yaml`` that annotates the model.

    Raises:
        DvcException: Nothing was found, and a file that could tell cannot be read.
    """
    unreadable: dict[str, Exception] = {}
    for file in _nearby(project, path, folder):
        for out in _outs_of(project, file, unreadable):
            if _is_local(out) and is_inside(path, out.fs_path.lstrip("/")):
                return [out]
    found = [
        out
        for out in _all_outs(project, unreadable)
        if _is_local(out)
        and (
            is_inside(path, out.fs_path.lstrip("/"))
            or is_inside(out.fs_path.lstrip("/"), path)
        )
    ]
    around = [out for out in found if is_inside(path, out.fs_path.lstrip("/"))]
    if not found and unreadable and not project.fs.exists(f"/{path}"):
        raise next(iter(unreadable.values()))
    return around[:1] or found


def _nearby(project: Repo, path: str, folder: str) -> Iterator[str]:
    """List the DVC files that most likely record a path."""
    parents = [f"/{path}"]
    while parents[-1] not in {"/", project.root_dir}:
        parents.append(posixpath.dirname(parents[-1]))
    files = [f"{parent}.dvc" for parent in parents if parent != "/"]
    files += [posixpath.join(parent, "dvc.yaml") for parent in parents[1:]]
    files.append(posixpath.join("/", folder, "dvc.yaml"))
    for file in dict.fromkeys(files):
        if project.fs.isfile(file) and not project.dvcignore.is_ignored_file(file):
            yield file


def _outs_of(
    project: Repo, file: str, unreadable: dict[str, Exception]
) -> list[Output]:
    from dvc.exceptions import DvcException
    from dvc.repo.index import Index

    try:
        return list(Index.from_file(project, file).outs)
    except DvcException as error:
        unreadable[file.lstrip("/")] = error
        return []


def _all_outs(project: Repo, unreadable: dict[str, Exception]) -> list[Output]:
    from dvc.repo.index import Index

    def note(file: str, error: Exception) -> None:
        unreadable.setdefault(os.path.abspath(file).lstrip("/"), error)  # noqa: PTH100

    outs = list(Index.from_repo(project, onerror=note).outs)
    for file, error in unreadable.items():
        logger.debug("passed over '%s': %s", file, error)
    return outs


def _is_local(out: Output) -> bool:
    return bool(out.protocol == "local")


def describe(out: Output) -> RecordedOutput:
    """Describe an output as a value."""
    path = out.fs_path.lstrip("/")
    return RecordedOutput(
        path,
        digest_of(out.hash_info),
        out.meta.size,
        out.remote,
        _cloud_version(out.meta),
        is_executable=bool(out.meta.isexec),
        files=tuple(_listed(out, path)),
        origin=_origin(out),
        is_pushed=bool(out.can_push),
    )


def _origin(out: Output) -> Import | None:
    stage = out.stage
    if not stage.is_import or stage.is_db_import:
        return None
    dep = stage.deps[0]
    file = stage.path.lstrip("/")
    if not stage.is_repo_import:
        return Import(str(dep.def_path), file=file)
    repo = dep.def_repo
    return Import(
        repo["url"],
        dep.def_path,
        repo.get("rev_lock"),
        file,
        repo.get("config"),
        repo.get("remote"),
    )


def _listed(out: Output, folder: str) -> Iterator[RecordedFile]:
    """List the files of a folder whose listing is in Git."""
    from dvc_data.hashfile.tree import Tree

    tree = Tree.from_list(out.files or [], hash_name=out.hash_name)
    for key, meta, hash_info in tree:
        if digest := digest_of(hash_info):
            yield RecordedFile(
                posixpath.join(folder, *key),
                digest,
                meta.size if meta else None,
                out.remote,
                _cloud_version(meta),
            )


def _cloud_version(meta: Meta | None) -> CloudVersion | None:
    if meta is None or not meta.version_id:
        return None
    return CloudVersion(meta.remote or "", meta.version_id)
