"""Which folder is the user's cache, and what a user's folder in it is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from needs import give_away

from dvc_studio_models.errors import LocalDiskError, StudioConfigError
from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.dvc.light import read_config
from dvc_studio_models.store.user.location import VARIABLE, find_user_cache
from dvc_studio_models.store.user.project import (
    is_on_network,
    make_user_folder,
    open_user_project,
    user_folder,
    user_folders,
    user_receipts,
)
from dvc_studio_models.store.user.store import open_user_store

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def configure(home: Path) -> Callable[..., None]:
    """Write DVC's global config."""

    def write(**cache: str) -> None:
        folder = home / "dvc-global"
        folder.mkdir(exist_ok=True)
        lines = [f"    {name} = {value}\n" for name, value in cache.items()]
        (folder / "config").write_text("[cache]\n" + "".join(lines))

    return write


def test_an_empty_variable_is_not_set(home: Path) -> None:
    expected = home / "cache" / "dvc-studio-models"

    assert find_user_cache(environ={VARIABLE: ""}).folder == expected
    assert find_user_cache("", environ={}).folder == expected


def test_a_tilde_is_the_home_folder_and_links_are_followed(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (home / "link").symlink_to(tmp_path / "real")

    found = find_user_cache(environ={VARIABLE: "~/link/cache"})

    assert found == (tmp_path / "real" / "cache", False)


def test_a_cache_of_dvcs_config_is_shared_with_projects(
    configure: Callable[..., None], tmp_path: Path
) -> None:
    configure(dir=str(tmp_path / "all"))

    assert find_user_cache(environ={}) == (tmp_path / "all", True)
    assert find_user_cache(tmp_path / "own", environ={}) == (tmp_path / "own", False)


def test_a_cache_in_the_cloud_cannot_be_used(
    configure: Callable[..., None], home: Path
) -> None:
    configure(dir="s3://bucket/cache")

    assert find_user_cache(environ={}).folder == home / "cache" / "dvc-studio-models"


def test_the_config_of_a_project_does_not_count(home: Path, tmp_path: Path) -> None:
    own = tmp_path / "project" / ".dvc"
    own.mkdir(parents=True)
    (own / "config").write_text("[cache]\n    dir = mine\n")
    config: Any = read_config(str(own))

    found = find_user_cache(config=config, environ={})

    assert found == (home / "cache" / "dvc-studio-models", False)


def test_a_config_that_dvc_cannot_read_is_an_error(
    configure: Callable[..., None],
) -> None:
    configure(type="none")

    with pytest.raises(StudioConfigError):
        find_user_cache(environ={})


# The user's folder


def test_a_cache_that_exists_keeps_its_mode_and_gets_no_ignore_file(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "shared"
    cache.mkdir()
    cache.chmod(0o2775)

    folder = make_user_folder(cache)

    assert folder == user_folder(cache) == cache / "users" / str(os.getuid())
    assert [path.name for path in cache.iterdir()] == ["users"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)]
    assert modes[0] == 0o2775  # others make their folders beside it
    assert modes[1] & 0o777 == 0o755  # and may read which files it holds
    assert user_receipts(cache).is_relative_to(folder)


@pytest.mark.parametrize(("mode", "of_folders"), [(0o2770, 0o2775), (0o700, 0o755)])
def test_a_cache_that_a_group_may_write_is_shared_by_it(
    tmp_path: Path, mode: int, of_folders: int
) -> None:
    """The modes are DVC's own for ``cache.shared``; the cache's is above them."""
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    part = tmp_path / "part"
    part.write_bytes(b"content")
    digest = Digest(MD5, hashlib.md5(b"content").hexdigest())

    with contextlib.closing(open_user_store(tmp_path / "root", cache)) as store:
        store.add([(digest, part)])
        made = [
            store.parts,
            cache / "files" / "md5",
            (cache / digest.object_path).parent,
        ]

    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {of_folders}
    assert stat.S_IMODE(user_folder(cache).stat().st_mode) & 0o077 == mode & 0o055


def test_a_cache_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("")

    with pytest.raises(LocalDiskError):
        make_user_folder(cache)


def test_a_folder_that_another_user_has_made_is_refused_in_a_shared_cache(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    give_away(make_user_folder(cache))

    assert make_user_folder(cache)  # as on a file server that maps users
    (cache / "users").chmod(0o770)
    with pytest.raises(LocalDiskError, match="its folder is of another user"):
        make_user_folder(cache)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ({"/": "rw,local", "{}": "rw,nosuid"}, True),
        ({"/": "rw,local", "{}": "rw,local,journaled"}, False),
        ({"/": "rw,local", "/elsewhere": "rw"}, False),
        ({"/": "rw", "{}": "rw,local"}, False),
        ({}, False),
    ],
    ids=["server", "disk", "another", "inside", "nothing known"],
)
def test_a_volume_of_the_network_is_known_on_macos(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounts: dict[str, str],
    expected: bool,
) -> None:
    """psutil stands in for the list of macOS, where it shows ``MNT_LOCAL`` so."""
    found = [
        SimpleNamespace(mountpoint=place.format(tmp_path), opts=opts)
        for place, opts in mounts.items()
    ]
    (tmp_path / "cache").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(psutil, "disk_partitions", lambda *, all: found)  # noqa: ARG005, A006

    assert is_on_network(tmp_path / "link") == expected


def test_a_file_of_finder_is_no_user_of_a_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    mine = make_user_folder(cache)
    (cache / "users" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")

    assert user_folders(cache) == [mine]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ext4", False), ("nfs4", True), ("lustre", True), ("fuse.sshfs", True)],
)
def test_a_file_system_of_the_network_is_known(
    tmp_path: Path, kind: str, expected: bool
) -> None:
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:999999 / /other rw shared:1 - nfs4 server:/x rw\n"
        f"22 1 {number} / / rw,relatime shared:1 - {kind} /dev/x rw\n"
    )

    assert is_on_network(tmp_path, mounts=mounts) == expected
    assert not is_on_network(tmp_path, mounts=tmp_path / "none")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ["reflink", "copy"]),
        ("hardlink", ["hardlink", "copy"]),
        ("symlink,copy", ["symlink", "copy"]),
    ],
)
def test_a_copy_is_always_allowed(
    configure: Callable[..., None],
    tmp_path: Path,
    given: str | None,
    expected: list[str],
) -> None:
    configure(**({"type": given} if given else {}), dir="/elsewhere")
    cache = tmp_path / "cache"

    project = open_user_project(cache, make_user_folder(cache))
    try:
        odb = project.repo.cache.local
        assert list(odb.cache_types) == expected
        assert Path(odb.path) == cache / "files" / "md5"
        assert Path(project.cache_folder) == cache
    finally:
        project.close()
