"""What is read of a project without DVC's object of it, which is the oracle here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dvc.config import Config, ConfigError
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.fs import localfs
from projects import Project, git, init_project, write
from scmrepo.noscm import NoSCM

from dvc_studio_models.model import MD5, Digest
from dvc_studio_models.store.dvc.light import (
    DATABASE,
    KnownFile,
    find_dvc_dir,
    find_project,
    look_up,
    read_config,
)
from dvc_studio_models.store.dvc.store import DvcStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HASH = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return init_project(tmp_path_factory.mktemp("light") / "project")


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Path:
    root = tmp_path / "project"
    return Project(shutil.copytree(template.root, root, symlinks=True)).repo


def open_with_dvc(root: Path) -> Repo:
    return Repo(os.path.realpath(root), scm=NoSCM(str(root)))


# Config

REMOTES = """\
[core]
    remote = there
    autostage = true
    checksum_jobs = 3
['remote "there"']
    url = ../there
    VERIFY = true
['remote "s3"']
    url = s3://bucket/path
['remote "ssh"']
    url = ssh://example.com/path
    keyfile = keys/one
[exp]
    git_remote = git@example.com:o/r.git
[cache]
    type = "reflink,hardlink"
    shared = group
[studio]
    url = https://studio.example.com
"""

CONFIGS = {
    "as DVC makes it": None,
    "empty": "",
    "many settings": REMOTES,
    "cache.dir, relative": "[cache]\n    dir = ../other cache\n",
    "cache.dir, absolute": "[cache]\n    dir = /var/other/./cache/\n",
    "cache.dir in the home": "[cache]\n    dir = ~/cache\n",
    "cache.dir not in ASCII": "[cache]\n    dir = ../caché\n",
    "a remote as the cache": "[cache]\n    local = there\n"
    + REMOTES.split("[cache]", maxsplit=1)[0],
    "a cache with a scheme": "[cache]\n    dir = file:///var/cache\n",
    "another site cache": "[core]\n    site_cache_dir = ../site\n",
    "an absolute site cache": "[core]\n    site_cache_dir = {root}/site\n",
}


def configure(root: Path, text: str | None, file: str = "config") -> None:
    if text is not None:
        text = text.replace("{root}", str(root))
        (root / ".dvc" / file).write_text(text, "utf-8")


@pytest.mark.parametrize("file", ["config", "config.local"])
@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_the_config_is_that_of_dvc(project: Path, text: str | None, file: str) -> None:
    configure(project, text, file)
    dvc_dir = str(project / ".dvc")

    found = read_config(dvc_dir)

    expected = Config(dvc_dir)
    assert dict(found) == dict(expected)
    assert found.files == expected.files
    assert found.dvc_dir == expected.dvc_dir
    assert found.local_dvc_dir == expected.local_dvc_dir


@pytest.mark.parametrize("inside", [True, False])
def test_the_config_has_all_levels(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    for level in ("SYSTEM", "GLOBAL"):
        write(tmp_path / level, {"config": f"[studio]\n    url={level}\n".encode()})
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    write(tmp_path, {"GLOBAL/config": b"[cache]\n    dir = shared\n"})
    dvc_dir = str(project / ".dvc") if inside else None

    found = read_config(dvc_dir)

    assert dict(found) == dict(Config(dvc_dir))
    assert found["studio"]["url"] == "SYSTEM"
    assert found.files == Config(dvc_dir).files


@pytest.mark.parametrize(
    "text", ["[core\n", "[core]\n    autostage = maybe\n", "[no]\n[core]\nx\n"]
)
def test_a_config_that_dvc_refuses_has_the_same_error(project: Path, text: str) -> None:
    configure(project, text)
    errors = []
    for read in (read_config, Config):
        with pytest.raises(ConfigError) as caught:
            read(str(project / ".dvc"))
        errors.append(str(caught.value))

    assert errors[0] == errors[1]


def test_bytes_that_are_no_text_have_the_same_error(project: Path) -> None:
    (project / ".dvc/config").write_bytes(b"[core]\n    remote = \xff\n")
    errors = []
    for read in (read_config, Config):
        with pytest.raises(ConfigError) as caught:
            read(str(project / ".dvc"))
        errors.append(str(caught.value))

    assert errors[0] == errors[1]


def test_dvc_can_work_with_the_config(project: Path) -> None:
    config = read_config(str(project / ".dvc"))

    with config.edit("local") as local:
        local["studio"]["url"] = "https://studio.example.com"

    assert config["studio"]["url"] == "https://studio.example.com"


# Places


def in_a_subproject(root: Path) -> Path:
    (root / "sub/inner").mkdir(parents=True)
    Repo.init(str(root / "sub"), subdir=True).close()
    return root / "sub"


def in_a_worktree(root: Path) -> Path:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All")
    git(root, "worktree", "add", "--quiet", "../worktree")
    return root.parent / "worktree"


def behind_a_link(root: Path) -> Path:
    link = root.parent / "link"
    link.symlink_to(root)
    return link


PLACES: dict[str, Callable[[Path], Path]] = {
    "root": lambda root: root,
    "subproject": in_a_subproject,
    "worktree": in_a_worktree,
    "link": behind_a_link,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_cache_and_database_are_where_dvc_has_them(
    project: Path, text: str | None, place: Callable[[Path], Path]
) -> None:
    root = place(project)
    configure(root, text)
    real = os.path.realpath(root)
    with open_with_dvc(root) as repo:
        expected = (
            repo.cache.local_cache_dir,
            Path(repo.site_cache_dir, DATABASE),
        )

    found = find_project(real, None)

    is_special = text and ("local = there" in text or "file://" in text)
    if is_special:
        assert found is None
    else:
        assert found
        assert (found.cache_folder, found.database) == expected


def test_a_project_that_dvc_has_not_opened_is_left_to_dvc(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(project / ".dvc/tmp")
    assert find_project(str(project), None) is None

    open_with_dvc(project).close()
    assert find_project(str(project), None)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "removed"))
    assert find_project(str(project), None) is None


@pytest.mark.parametrize("configured", [True, False])
def test_the_site_cache_of_the_environment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "of-env"))
    configure(project, CONFIGS["an absolute site cache"] if configured else None)
    with open_with_dvc(project) as repo:
        expected = Path(repo.site_cache_dir, DATABASE)

    found = find_project(str(project), read_config(str(project / ".dvc")))

    assert found
    assert found.database == expected


def test_the_config_of_another_project_is_not_used(project: Path) -> None:
    sub = in_a_subproject(project)
    configure(sub, CONFIGS["cache.dir, relative"])
    open_with_dvc(sub).close()

    found = find_project(str(sub), read_config(str(project / ".dvc")))

    assert found
    assert found.cache_folder == os.path.realpath(sub / "other cache")


def test_a_project_is_found_from_its_folders(project: Path, tmp_path: Path) -> None:
    sub = in_a_subproject(project)

    found = [find_dvc_dir(at) for at in (project, sub, sub / "inner", sub / "absent")]

    here, there = str(project / ".dvc"), str(sub / ".dvc")
    assert found == [here, there, there, None]
    assert Repo.find_dvc_dir(str(sub / "inner")) == there
    assert find_dvc_dir(tmp_path) is None


# State


@pytest.fixture
def repo(project: Path) -> Iterator[Any]:
    write(project, {f"models/{name}": name.encode() for name in NAMES})
    with open_with_dvc(project) as repo:
        yield repo


NAMES = ["plain", "with space", "quote'\"", "ünïcode", "percent%25?", "[x]", "a\nb"]


def database_of(repo: Any) -> Path:
    return Path(repo.site_cache_dir, DATABASE)


def save(repo: Any, path: Path, name: str = "md5") -> None:
    repo.state.save(str(path), localfs, HashInfo(name, HASH))


def rewrite(repo: Any, path: Path, change: Callable[[Any], object]) -> None:
    """Change DVC's entry for a file."""
    entry = json.loads(repo.state.hashes[str(path)])
    entry = change(entry)
    repo.state.hashes[str(path)] = json.dumps(entry)


def as_dvc_has_it(repo: Any, path: Path) -> KnownFile | None:
    try:
        meta, hash_info = repo.state.get(str(path), localfs)
    except FileNotFoundError:
        return None
    if hash_info is None:
        return None
    return KnownFile(hash_info.name, hash_info.value, meta.size)


@pytest.mark.parametrize("algorithm", ["md5", "md5-dos2unix"])
def test_files_are_known_as_dvc_knows_them(
    repo: Any, project: Path, algorithm: str
) -> None:
    paths = [project / "models" / name for name in NAMES]
    for path in paths[1:]:
        save(repo, path, algorithm)

    found = look_up(database_of(repo), map(str, paths))

    assert set(found) == {str(path) for path in paths[1:]}
    assert {found.get(str(path)) == as_dvc_has_it(repo, path) for path in paths} == {
        True
    }


def test_a_link_is_known_by_its_target(repo: Any, project: Path) -> None:
    link = project / "models/link"
    link.symlink_to("plain")
    save(repo, link)

    assert look_up(database_of(repo), [str(link)]) == {
        str(link): KnownFile("md5", HASH, 5)
    }


def test_a_file_below_a_linked_folder_is_known_by_its_real_path(
    repo: Any, project: Path
) -> None:
    save(repo, project / "models/plain")
    (project / "other").symlink_to("models")

    path = f"{project}/other/plain"
    assert set(look_up(database_of(repo), [path])) == {path}


def touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))


def rewrite_at_the_same_time(path: Path) -> None:
    time = path.stat().st_mtime_ns
    path.write_bytes(b"longer than it was")
    os.utime(path, ns=(time, time))


def replace(path: Path) -> None:
    time = path.stat().st_mtime_ns
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(time, time))
    other.replace(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "change",
    [touch, rewrite_at_the_same_time, replace, Path.unlink, become_a_folder],
    ids=lambda change: change.__name__,
)
def test_a_changed_file_is_not_known(
    repo: Any, project: Path, change: Callable[[Path], None]
) -> None:
    path = project / "models/plain"
    save(repo, path)
    assert look_up(database_of(repo), [str(path)])

    change(path)

    assert look_up(database_of(repo), [str(path)]) == {}
    assert as_dvc_has_it(repo, path) is None


ENTRIES: dict[str, Callable[[Any], object]] = {
    "DVC 2": lambda entry: {k: v for k, v in entry.items() if k != "version"},
    "of a later DVC": lambda entry: {**entry, "version": 2},
}


def test_a_folder_is_not_known(repo: Any, project: Path) -> None:
    save(repo, project / "models")

    assert look_up(database_of(repo), [f"{project}/models"]) == {}


@pytest.mark.parametrize("change", ENTRIES.values(), ids=ENTRIES)
def test_entries_of_other_dvcs(
    repo: Any, project: Path, change: Callable[[Any], object]
) -> None:
    path = project / "models/plain"
    save(repo, path)
    rewrite(repo, path, change)

    found = look_up(database_of(repo), [str(path)])

    assert found.get(str(path)) == as_dvc_has_it(repo, path)


@pytest.mark.parametrize("entry", [[], None, {}, {"checksum": "1", "hash_info": 1}])
def test_a_damaged_entry_is_not_used(repo: Any, project: Path, entry: Any) -> None:
    path = project / "models/plain"
    save(repo, path)
    save(repo, project / "models/[x]")
    rewrite(repo, path, lambda _: entry)

    found = look_up(database_of(repo), [str(path), f"{project}/models/[x]"])

    assert set(found) == {f"{project}/models/[x]"}


@pytest.mark.parametrize("content", [None, b"no database" * 100, b""])
def test_a_database_that_cannot_be_read_knows_nothing(
    project: Path, tmp_path: Path, content: bytes | None
) -> None:
    database = tmp_path / "cache.db"
    if content is not None:
        database.write_bytes(content)

    assert look_up(database, [str(project / "models/plain")]) == {}
    assert database.exists() == (content is not None)


def test_a_database_behind_odd_names_is_read(
    repo: Any, project: Path, tmp_path: Path
) -> None:
    save(repo, project / "models/plain")
    odd = tmp_path / "100% of it?#x"
    shutil.copytree(database_of(repo).parent, odd)

    assert look_up(odd / DATABASE.name, [str(project / "models/plain")])


def test_reading_leaves_no_files_and_changes_nothing(repo: Any, project: Path) -> None:
    save(repo, project / "models/plain")
    database = database_of(repo)
    repo.close()
    before = {at.name: at.read_bytes() for at in database.parent.iterdir()}

    assert look_up(database, [str(project / "models/plain")])

    assert {at.name: at.read_bytes() for at in database.parent.iterdir()} == before


def trace_queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets all queries of databases that are opened from now on."""
    queries: list[str] = []
    connect = sqlite3.connect

    class Traced(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_trace_callback(queries.append)

    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=Traced)
    )
    return queries


def test_thousands_of_files_take_one_query(
    repo: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:04}" for number in range(3000)]
    write(project, {f"models/many/{name}": b"" for name in names})
    paths = [project / "models/many" / name for name in names]
    for path in paths[::10]:
        save(repo, path)
    queries = trace_queries(monkeypatch)

    assert len(look_up(database_of(repo), map(str, paths))) == 300
    assert len(queries) == 1


# Importing the rest

AHEAD = """
import sys, threading
from pathlib import Path
from dvc_studio_models.store.dvc.light import importing_dvc

own = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with importing_dvc(own):
    pass
print("dvc.repo" in sys.modules, threading.active_count())
"""


@pytest.mark.parametrize(
    ("place", "imported"), [("new", True), ("pulled to before", False), (None, False)]
)
def test_dvc_is_imported_ahead_only_for_a_new_project(
    tmp_path: Path, place: str | None, imported: bool
) -> None:
    if place == "pulled to before":
        (tmp_path / place).mkdir()
    args = [] if place is None else [str(tmp_path / place)]

    done = subprocess.run(
        [sys.executable, "-c", AHEAD, *args], check=True, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == (f"{imported} 1\n", "")


def test_without_threads_dvc_is_imported_when_it_is_used(tmp_path: Path) -> None:
    limited = AHEAD.replace(
        "with importing",
        "def refuse(self): raise RuntimeError\n"
        "threading.Thread.start = refuse\n"
        "with importing",
    )

    done = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "False 1\n"


# Objects

CONTENTS = [f"content {number}".encode() for number in range(50)]
DIGESTS = [Digest(MD5, hashlib.md5(content).hexdigest()) for content in CONTENTS]


@pytest.fixture
def filled(project: Path) -> Path:
    """A project with objects, whose hashes DVC's state knows."""
    with opened(project) as store:
        for digest, content in zip(DIGESTS, CONTENTS, strict=True):
            write(project, {f".dvc/cache/{digest.object_path}": content})
            assert store.size_of(digest) == len(content)
    return project


@contextlib.contextmanager
def opened(root: Path) -> Iterator[DvcStore]:
    store = DvcStore(root, use_cache=True, wait_for_lock=False)
    with contextlib.closing(store):
        yield store


def object_at(root: Path, digest: Digest) -> Path:
    return root / ".dvc/cache" / digest.object_path


def test_many_objects_take_one_query(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = trace_queries(monkeypatch)
    with opened(filled) as store:
        _ = store.repo
        queries.clear()

        store.look_up_objects(DIGESTS)
        sizes = [store.size_of(digest) for digest in DIGESTS]

    assert sizes == [len(content) for content in CONTENTS]
    assert len([query for query in queries if "FROM Cache" in query]) == 1


def lie(repo: Any, path: Path) -> None:
    rewrite(repo, path, lambda entry: {**entry, "hash_info": {"md5": HASH}})


DAMAGES: dict[str, Callable[[Any, Path], object]] = {
    "changed": lambda _, path: path.write_bytes(b"other"),
    "removed": lambda _, path: path.unlink(),
    "known with another hash": lie,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_bad_object_is_not_trusted(
    filled: Path, damage: Callable[[Any, Path], object]
) -> None:
    with opened(filled) as store:
        damage(store.repo, object_at(filled, DIGESTS[7]))

        store.look_up_objects(DIGESTS)

        good = [digest for digest in DIGESTS if store.size_of(digest) is not None]
    assert good == DIGESTS[:7] + DIGESTS[8:]


def test_an_object_changed_after_the_query_is_not_trusted(filled: Path) -> None:
    with opened(filled) as store:
        store.look_up_objects(DIGESTS)
        object_at(filled, DIGESTS[7]).write_bytes(b"other")

        assert store.size_of(DIGESTS[7]) is None


def test_the_hash_of_another_algorithm_is_not_trusted(filled: Path) -> None:
    text = b"one\r\ntwo\r\n"
    value = hashlib.md5(text.replace(b"\r\n", b"\n")).hexdigest()
    digest = Digest(MD5, value)
    write(filled, {f".dvc/cache/{digest.object_path}": text})
    with opened(filled) as store:
        info = HashInfo("md5-dos2unix", value)
        store.repo.state.save(str(object_at(filled, digest)), localfs, info)

        store.look_up_objects([digest])

        assert store.size_of(digest) is None
