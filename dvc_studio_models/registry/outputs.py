"""Finds the outputs that DVC's files record for a path, at a commit."""

from __future__ import annotations

import contextlib
import posixpath
from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.log import get_logger
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

    from dvc.exceptions import DvcException
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

logger = get_logger(__name__)


def digest_of(recorded: HashInfo | None) -> Digest | None:
    """Return the hash as a digest, None where it is not the hash of content."""
    with contextlib.suppress(TypeError, ValueError):
        return Digest(recorded.name, recorded.value) if recorded else None
    return None


def find_outputs(project: Repo, path: str, folder: str) -> list[Output]:
    """Find the output at or around a path, or else the outputs below it.

    The most likely files are read first; usually no others are needed.

    Args:
        project: At a commit.
        path: Relative to the Git root.
        folder: Of the ``dvc.yaml`` that annotates the model.

    Raises:
        DvcException: A file that could record the model, or part of it, cannot be read.
        UnreadableRepoError: Git cannot read one.
    """
    unreadable: dict[str, DvcException] = {}
    nearby = list(_nearby(project, path, folder))
    for file in nearby:
        for out in _outs_of(project, file, unreadable):
            if _is_local(out) and is_inside(path, _path_of(out)):
                return [out]
    found = [
        out
        for out in _all_outs(project, unreadable)
        if _is_local(out)
        and (is_inside(path, _path_of(out)) or is_inside(_path_of(out), path))
    ]
    around = [out for out in found if is_inside(path, _path_of(out))]
    if around:
        return around[:1]
    is_somewhere = found or project.fs.exists(f"/{path}")
    for file, error in unreadable.items():
        if file in nearby or is_inside(file, f"/{path}") or not is_somewhere:
            raise error
        logger.debug("skipped '%s': %s", file, error)
    return found


def _nearby(project: Repo, path: str, folder: str) -> Iterator[str]:
    """List the DVC files that are most likely to record a path."""
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
    project: Repo, file: str, unreadable: dict[str, DvcException]
) -> list[Output]:
    from dvc.exceptions import DvcException
    from dvc.repo.index import Index

    try:
        if posixpath.basename(file) == "dvc.yaml" and _has_matrix(project, file):
            from dvc_studio_models.registry.committed.bounds import check_matrix

            check_matrix(project, file)
        return list(Index.from_file(project, file).outs)
    except StudioModelsError:  # of Git, not of DVC
        raise
    except DvcException as error:
        unreadable[file] = error
    except Exception as error:  # noqa: BLE001 - of content that DVC never writes
        msg = f"'{file.lstrip('/')}' is not a valid DVC file: {error}"
        unreadable[file] = DvcException(msg)
    return []


def _has_matrix(project: Repo, file: str) -> bool:
    with project.fs.open(file, "rb") as opened:
        return b"matrix" in opened.read()


def _all_outs(project: Repo, unreadable: dict[str, DvcException]) -> Iterator[Output]:
    from dvc.dvcfile import is_valid_filename

    for folder, _, names in project.dvcignore.walk(project.fs, project.root_dir):
        for name in filter(is_valid_filename, names):
            yield from _outs_of(project, posixpath.join(folder, name), unreadable)


def _is_local(out: Output) -> bool:
    """Whether an output is in the clone: an absolute path belongs to one machine."""
    return bool(out.protocol == "local") and not posixpath.isabs(out.def_path)


def _path_of(out: Output) -> str:
    """Return where an output is, relative to the Git root.

    DVC normalises a path in Git like a URL, which it leaves as it is after a ``#`` or
    ``?``.
    """
    path: str = posixpath.join(out.stage.wdir, out.def_path)
    return posixpath.normpath(path).lstrip("/")


def describe(out: Output) -> RecordedOutput:
    """Return an output as a value."""
    path = _path_of(out)
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
        nfiles=out.meta.nfiles,
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
                is_executable=bool(meta and meta.isexec),
            )


def _cloud_version(meta: Meta | None) -> CloudVersion | None:
    if meta is None or not meta.version_id:
        return None
    return CloudVersion(meta.remote or "", meta.version_id)
