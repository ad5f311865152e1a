"""The stores: DVC's cache with every link type, and the plain one, on real projects."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from leftovers import killed_name
from needs import need_program, need_waiting, other_file_system
from projects import BERT, CHURN, Project, copy_project, git, init_project, write

from dvc_studio_models.errors import LocalDiskError, LockHeldError, UnsafePathError
from dvc_studio_models.files.folders import FileStamp
from dvc_studio_models.files.scratch import temporary_name
from dvc_studio_models.files.workspace import Workspace
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest
from dvc_studio_models.store.base import stage_parts
from dvc_studio_models.store.dvc.objects import tree_digest
from dvc_studio_models.store.dvc.project import project_around
from dvc_studio_models.store.dvc.store import DvcStore
from dvc_studio_models.store.plain import PlainStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dvc_studio_models.store.base import Store

pytestmark = pytest.mark.reliability("The DVC cache")

MODEL = {
    "models/churn.pkl": CHURN["v2.0.0"],
    **{f"models/bert/{path}": content for path, content in BERT["v2.0.0"].items()},
}
CONTENT = b"some content\n"
TEXT = b"one line\r\nanother\r\n"  # which DVC 2 hashes as if it had no \r


def md5(content: bytes) -> Digest:
    return Digest(MD5, hashlib.md5(content).hexdigest())


def md5_dos2unix(text: bytes) -> Digest:
    digest = md5(text.replace(b"\r\n", b"\n"))
    return Digest(MD5_DOS2UNIX, digest.value)


@pytest.fixture
def clone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose models are registered as v2.0.0, with nothing in its cache."""
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project").clone(tmp_path / "clone")


@pytest.fixture(scope="module")
def empty_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init_project(tmp_path_factory.mktemp("empty") / "project").root


@pytest.fixture
def project(tmp_path: Path, empty_project: Path) -> Path:
    """A DVC project without files."""
    return Project(shutil.copytree(empty_project, tmp_path / "project")).repo


def configure(project: Path, **settings: str) -> None:
    lines = [f"    {name} = {value}\n" for name, value in settings.items()]
    (project / ".dvc" / "config.local").write_text("[cache]\n" + "".join(lines))


@contextlib.contextmanager
def opened(root: Path, *, cache: bool = True) -> Iterator[Store]:
    store: Store = PlainStore(root)
    if project_around(root, root):
        store = DvcStore(root, use_cache=cache, wait_for_lock=False)
    with contextlib.closing(store):
        yield store


def download(store: Store, content: bytes) -> Path:
    """Make a part, as if its bytes had just arrived."""
    store.parts.mkdir(parents=True, exist_ok=True)
    part = store.parts / f"{time.monotonic_ns()}"
    part.write_bytes(content)
    return part


def add(store: Store, contents: Mapping[Digest, bytes]) -> None:
    parts = [(digest, download(store, content)) for digest, content in contents.items()]
    store.add(parts)
    for _, part in parts:
        part.unlink(missing_ok=True)


def place(
    store: Store,
    root: Path,
    cached: Mapping[str, Digest],
    parts: Mapping[str, Path] | None = None,
) -> None:
    workspace = Workspace(root)
    paths = [*cached, *(parts or {})]
    seen = {path: workspace.stat_target(path) for path in paths}
    with store.lock() as scratch:
        staged = store.stage(cached, parts or {}, scratch)
        workspace.place(staged, remove=[], seen=seen, backups=scratch)


def pull(root: Path, model: Mapping[str, bytes]) -> None:
    """Do what a pull does once the bytes are there."""
    digests = {path: md5(content) for path, content in model.items()}
    with opened(root) as store:
        add(store, {digests[path]: content for path, content in model.items()})
        place(store, root, digests)
        store.save_hashes(root, digests, {})
        _, recorded = recorded_bert(root)
        store.add_tree(bert_digests(), recorded)


def bert_digests() -> dict[str, Digest]:
    return {path: md5(content) for path, content in BERT["v2.0.0"].items()}


def recorded_bert(clone: Path) -> tuple[str, Digest]:
    text = (clone / "models" / "bert.dvc").read_text()
    found = re.search(r"md5: (\w+\.dir)", text)
    assert found
    return text, Digest(MD5, found[1])


def object_path(root: Path, digest: Digest) -> Path:
    name = f"{digest.value[:2]}/{digest.value[2:]}"
    return root / ".dvc" / "cache" / "files" / "md5" / name


def remembered(root: Path, path: Path) -> str | None:
    """Tell which hash DVC knows of a file without reading it."""
    from dvc_objects.fs import localfs

    with Repo(str(root)) as repo:
        _, found = repo.state.get(str(path), localfs)
    return found.value if found else None


# Which store


def test_the_nearest_dvc_project_has_the_store(tmp_path: Path) -> None:
    outer = init_project(tmp_path / "p", subdir="services/fraud")
    inner = outer.repo / "services" / "fraud"

    assert project_around(inner / "m" / "new", outer.repo) == inner
    with opened(inner) as store:
        assert store.receipts == inner / ".dvc" / "tmp" / "models" / "receipts"


def test_a_dvc_project_above_the_root_does_not_count(project: Path) -> None:
    out = project / "out"

    assert project_around(out / "m", out) is None


# DVC's cache


@pytest.mark.parametrize(
    "types",
    [
        pytest.param("copy", id="copy"),
        pytest.param("reflink,copy", id="reflink or copy"),
        pytest.param("hardlink", id="hardlink"),
        pytest.param("symlink", id="symlink"),
    ],
)
def test_dvc_finds_a_placed_model_clean_and_need_not_read_it(
    clone: Path, types: str
) -> None:
    configure(clone, type=types)

    pull(clone, MODEL)

    for path, content in MODEL.items():
        assert (clone / path).read_bytes() == content
        assert remembered(clone, clone / path) == md5(content).value
    with Repo(str(clone)) as repo:
        status = repo.status(
            [str(clone / f"models/{m}.dvc") for m in ("bert", "churn.pkl")]
        )
    assert status == {}


def test_a_copy_is_the_users_own(clone: Path) -> None:
    configure(clone, type="copy")
    before = os.umask(0o027)
    try:
        pull(clone, MODEL)
    finally:
        os.umask(before)

    status = (clone / "models/churn.pkl").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert status.st_nlink == 1


def test_a_hard_link_is_the_object_of_the_cache(clone: Path) -> None:
    configure(clone, type="hardlink")
    pull(clone, MODEL)

    target = clone / "models/churn.pkl"
    assert target.samefile(object_path(clone, md5(CHURN["v2.0.0"])))
    assert target.stat().st_nlink == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o444


def test_a_symbolic_link_leads_into_the_cache(clone: Path) -> None:
    configure(clone, type="symlink")
    pull(clone, MODEL)

    target = clone / "models/churn.pkl"
    assert target.readlink() == object_path(clone, md5(CHURN["v2.0.0"]))


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_two_targets_of_one_content_are_both_placed(project: Path, kind: str) -> None:
    configure(project, type=kind)
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        place(store, project, {"a": digest, "m/b": digest})

    assert (project / "a").read_bytes() == (project / "m/b").read_bytes() == CONTENT


def test_a_link_type_that_the_disk_lacks_is_told(project: Path) -> None:
    cache = other_file_system(project) / f"dvc-studio-models-{os.getpid()}"
    configure(project, type="hardlink", dir=str(cache))
    try:
        with opened(project) as store:
            add(store, {md5(CONTENT): CONTENT})

            with pytest.raises(LocalDiskError, match="is 'hardlink', but: "):
                place(store, project, {"a": md5(CONTENT)})
    finally:
        shutil.rmtree(cache)

    assert not (project / "a").exists()


@pytest.mark.parametrize("types", ["hardlink", "hardlink,copy"])
def test_an_object_that_has_all_the_links_a_file_can_have(
    project: Path, tmp_path: Path, types: str
) -> None:
    configure(project, type=types)
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        (found,) = (project / ".dvc/cache").rglob(digest.value[2:])
        link_up_to_the_limit(found, tmp_path / "links")

        if types == "hardlink":
            hint = "too many links\nAllow copies too: 'dvc config cache.type hardlink,"
            with pytest.raises(LocalDiskError, match=hint):
                place(store, project, {"a": digest})
        else:
            place(store, project, {"a": digest})
            assert (project / "a").read_bytes() == CONTENT


def link_up_to_the_limit(path: Path, folder: Path) -> None:
    """Hard-link a file as often as the file system allows."""
    folder.mkdir()
    for number in range(70_000):
        try:
            os.link(path, folder / str(number))
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            return
    pytest.skip("the file system allows more than 70,000 links to a file")


def test_an_edit_after_staging_is_not_remembered_as_the_models_content(
    project: Path,
) -> None:
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        place(store, project, {"a": digest})
        (project / "a").write_bytes(b"edited\n")
        store.save_hashes(project, {"a": digest}, {})

    assert remembered(project, project / "a") == md5(b"edited\n").value


def test_a_file_that_is_gone_is_not_remembered(project: Path) -> None:
    with opened(project) as store:
        store.save_hashes(project, {"a": md5(CONTENT)}, {})

    assert remembered(project, project / "a") is None


def test_dvc_knows_files_that_were_placed_through_a_link_to_the_root(
    project: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    digest = md5(CONTENT)
    with opened(link) as store:
        add(store, {digest: CONTENT})
        place(store, link, {"m/a": digest})
        store.save_hashes(link, {"m/a": digest}, {})

    assert remembered(project, project / "m/a") == digest.value


def test_a_shared_cache_elsewhere_serves_every_clone(
    project: Path, tmp_path: Path
) -> None:
    other = init_project(tmp_path / "other").repo
    for each in (project, other):
        configure(each, dir=str(tmp_path / "shared"))
    with opened(project) as store:
        assert store.parts == tmp_path / "shared" / "parts"
        add(store, {md5(CONTENT): CONTENT})

    with opened(other) as store:
        assert store.size_of(md5(CONTENT)) == len(CONTENT)


def test_the_parts_of_a_shared_cache_are_for_the_whole_group(
    project: Path, tmp_path: Path
) -> None:
    configure(project, dir=str(tmp_path / "shared"), shared="group")

    with opened(project) as store:
        mode = stat.S_IMODE(store.parts.stat().st_mode)

    assert mode == 0o2775


def test_the_parts_lie_beside_the_objects(project: Path) -> None:
    with opened(project) as store:
        assert store.parts == project / ".dvc" / "cache" / "parts"
        assert store.parts.is_dir()


def test_nothing_of_ours_is_shown_by_git(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Begin")
    for cache in (True, False):
        with opened(project, cache=cache) as store:
            download(store, CONTENT)
            with store.lock() as scratch:
                (scratch / "file").touch()

                assert git(project, "status", "--porcelain") == ""


def test_an_object_is_protected_as_dvc_does(project: Path) -> None:
    with opened(project) as store:
        add(store, {md5(CONTENT): CONTENT})

    mode = object_path(project, md5(CONTENT)).stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


def test_the_cache_is_not_written_when_it_is_not_wanted(project: Path) -> None:
    with opened(project, cache=False) as store:
        part = download(store, CONTENT)
        store.add([(md5(CONTENT), part)])

        assert store.parts == project / ".dvc" / "tmp" / "models" / "parts"
        assert store.size_of(md5(CONTENT)) is None
        place(store, project, {}, {"a": part})

    assert (project / "a").read_bytes() == CONTENT
    assert not (project / ".dvc" / "cache").exists()


def test_an_object_that_is_gone_is_never_linked_to(project: Path) -> None:
    configure(project, type="symlink")

    with (
        opened(project) as store,
        pytest.raises(LocalDiskError, match="removed from the DVC"),
    ):
        place(store, project, {"a": md5(CONTENT)})

    assert not (project / "a").is_symlink()


# Damaged objects


def damage(root: Path, digest: Digest, *, protect: bool) -> Path:
    path = object_path(root, digest)
    path.chmod(0o644)
    path.write_bytes(b"bad content!\n")
    path.chmod(0o444 if protect else 0o644)
    return path


@pytest.mark.parametrize("protect", [True, False], ids=["protected", "unprotected"])
def test_a_damaged_object_does_not_count(project: Path, protect: bool) -> None:
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        damage(project, digest, protect=protect)

        assert store.size_of(digest) is None


def test_a_damaged_object_stays_until_there_is_a_better_one(project: Path) -> None:
    """It may be somebody's edit, through a link."""
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        path = damage(project, digest, protect=False)
        store.size_of(digest)

        assert path.read_bytes() == b"bad content!\n"


def test_a_damaged_object_is_replaced_by_a_verified_part(project: Path) -> None:
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        damage(project, digest, protect=True)
        add(store, {digest: CONTENT})

        assert store.size_of(digest) == len(CONTENT)


def test_an_object_is_read_once_until_it_changes(project: Path) -> None:
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        path = object_path(project, digest)
        before = path.stat()
        damage(project, digest, protect=True)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        assert store.size_of(digest) == len(CONTENT)


# Directories


def test_the_list_of_a_directory_is_kept_where_dvc_looks_for_it(clone: Path) -> None:
    _, recorded = recorded_bert(clone)
    with opened(clone) as store:
        store.add_tree(bert_digests(), recorded)

        assert store.size_of(recorded)
    listed = json.loads(object_path(clone, recorded).read_text())
    assert {entry["relpath"] for entry in listed} == set(BERT["v2.0.0"])


def test_the_hash_of_a_directory_is_rebuilt_as_dvc_builds_it(clone: Path) -> None:
    _, recorded = recorded_bert(clone)

    assert tree_digest(bert_digests()) == recorded


def test_a_list_with_another_hash_is_not_kept(clone: Path) -> None:
    _, recorded = recorded_bert(clone)
    with opened(clone) as store:
        store.add_tree({"other": md5(CONTENT)}, recorded)

        assert store.size_of(recorded) is None


def test_no_list_is_kept_when_the_cache_is_not_wanted(clone: Path) -> None:
    _, recorded = recorded_bert(clone)
    with opened(clone, cache=False) as store:
        store.add_tree(bert_digests(), recorded)

        assert store.size_of(recorded) is None


def test_a_damaged_list_is_replaced(clone: Path) -> None:
    _, recorded = recorded_bert(clone)
    with opened(clone) as store:
        store.add_tree(bert_digests(), recorded)
        damage(clone, recorded, protect=True)
        store.add_tree(bert_digests(), recorded)

        assert store.size_of(recorded)


# Objects of DVC 2


def test_a_text_file_of_dvc_2_is_kept_where_dvc_2_looks_for_it(project: Path) -> None:
    digest = md5_dos2unix(TEXT)
    with opened(project) as store:
        add(store, {digest: TEXT})

        assert store.size_of(digest) == len(TEXT)
        assert store.size_of(Digest(MD5, digest.value)) is None
    kept = project / ".dvc" / "cache" / digest.value[:2] / digest.value[2:]
    assert kept.read_bytes() == TEXT


def test_dvc_finds_a_file_of_dvc_2_clean(project: Path) -> None:
    digest = md5_dos2unix(TEXT)
    write(
        project,
        {
            "a.txt.dvc": f"outs:\n- md5: {digest.value}\n"
            f"  size: {len(TEXT)}\n  path: a.txt\n".encode()
        },
    )
    with opened(project) as store:
        add(store, {digest: TEXT})
        place(store, project, {"a.txt": digest})
        store.save_hashes(project, {"a.txt": digest}, {})

    assert remembered(project, project / "a.txt") == digest.value
    with Repo(str(project)) as repo:
        assert repo.status() == {}


def test_files_of_dvc_2_and_3_are_placed_together(project: Path) -> None:
    cached = {"old": md5_dos2unix(TEXT), "new": md5(CONTENT)}
    with opened(project) as store:
        add(store, {cached["old"]: TEXT, cached["new"]: CONTENT})
        place(store, project, cached)

    assert (project / "old").read_bytes() == TEXT
    assert (project / "new").read_bytes() == CONTENT


# The hash of what is there


@pytest.fixture(params=["DVC", "plain"])
def any_store(request: pytest.FixtureRequest, project: Path) -> Iterator[Store]:
    root = project if request.param == "DVC" else project / "out"
    with opened(root) as store:
        yield store


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        pytest.param(MD5, md5(TEXT), id="DVC 3"),
        pytest.param(MD5_DOS2UNIX, md5_dos2unix(TEXT), id="DVC 2"),
    ],
)
def test_a_file_is_hashed_as_dvc_does(
    any_store: Store, project: Path, algorithm: str, expected: Digest
) -> None:
    (project / "a").write_bytes(TEXT)

    assert any_store.digest_of(project / "a", algorithm) == expected
    assert any_store.digest_of(project / "a", algorithm) == expected


def test_what_a_link_leads_to_is_hashed(any_store: Store, project: Path) -> None:
    (project / "a").write_bytes(CONTENT)
    (project / "link").symlink_to("a")

    assert any_store.digest_of(project / "link", MD5) == md5(CONTENT)


@pytest.mark.parametrize("leads_to", ["nowhere", ".dvc", "link", "pipe", "/dev/zero"])
def test_a_link_to_no_file_has_no_hash(
    any_store: Store, project: Path, leads_to: str
) -> None:
    os.mkfifo(project / "pipe")
    (project / "link").symlink_to(leads_to)

    with pytest.raises(FileNotFoundError):
        any_store.digest_of(project / "link", MD5)


def test_a_hash_is_remembered_until_the_file_changes(project: Path) -> None:
    target = project / "a"
    target.write_bytes(CONTENT)
    before = target.stat()
    with opened(project) as store:
        store.digest_of(target, MD5)
        target.write_bytes(CONTENT.upper())
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        remembered = store.digest_of(target, MD5)
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))

        assert remembered == md5(CONTENT)
        assert store.digest_of(target, MD5) == md5(CONTENT.upper())


# The lock


@pytest.mark.clock
def test_a_lock_that_is_held_is_told_after_dvcs_own_wait(project: Path) -> None:
    with opened(project) as one, opened(project) as other, one.lock():
        began = time.monotonic()
        with pytest.raises(LockHeldError), other.lock():
            pass

    assert 2.5 < time.monotonic() - began < 10


def test_a_lock_is_waited_for_on_demand(project: Path) -> None:
    need_waiting()
    waiting = DvcStore(project, use_cache=True, wait_for_lock=True)
    with contextlib.closing(waiting), opened(project) as store:
        held = contextlib.ExitStack()
        held.enter_context(store.lock())
        timer = threading.Timer(0.2, held.close)
        timer.start()
        with waiting.lock() as scratch:
            assert scratch.is_dir()
        timer.join()


def test_a_lock_ends_with_a_failure(project: Path) -> None:
    with opened(project) as store:
        with pytest.raises(ZeroDivisionError), store.lock():
            raise ZeroDivisionError
        with store.lock():
            pass


# The scratch folder


def test_the_scratch_folder_goes_with_what_is_in_it(any_store: Store) -> None:
    with any_store.lock() as scratch:
        (scratch / "m").mkdir()
        (scratch / "m" / "file").touch()

    assert not scratch.exists()


def test_what_a_killed_pull_left_is_swept(any_store: Store) -> None:
    with any_store.lock() as scratch:
        left = scratch.with_name(killed_name())
        left.mkdir()
        (left / "file").touch()

    any_store.sweep()

    assert not left.exists()


def test_sweeping_makes_nothing(any_store: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    any_store.sweep()

    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_is_swept_once_its_content_is_in_the_cache(project: Path) -> None:
    content = b"a model"
    digest = md5(content)
    with opened(project) as store:
        part = store.parts / f"{digest.value}.0123"
        part.write_bytes(content)
        other = store.parts / f"{md5(b'another').value}.4567"
        other.touch()
        store.add([(digest, part)])

        store.sweep()

        assert not part.exists()
        assert other.exists()


def test_what_another_pull_is_placing_stays_even_if_locks_lie(
    any_store: Store,
) -> None:
    with any_store.lock() as scratch:
        live = scratch.with_name(temporary_name())
        live.mkdir()
        elsewhere = scratch.with_name("placing-0123-1-elsewhere-1")
        elsewhere.mkdir()

        any_store.sweep()

        assert live.exists()
        assert elsewhere.exists()


# Two at once


def test_two_stores_keep_and_place_the_same_at_once(project: Path) -> None:
    need_waiting()
    model = {f"m/{n}": f"content {n}\n".encode() * n for n in range(30)}
    digests = {path: md5(content) for path, content in model.items()}
    failures: list[BaseException] = []

    def run(out: str) -> None:
        try:
            store = DvcStore(project, use_cache=True, wait_for_lock=True)
            with contextlib.closing(store):
                add(store, {digests[path]: model[path] for path in model})
                place(
                    store, project, {f"{out}/{path}": digests[path] for path in model}
                )
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(out,)) for out in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    for out in ("one", "two"):
        for path, content in model.items():
            assert (project / out / path).read_bytes() == content


# Without DVC


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "out") as store:
        assert isinstance(store, PlainStore)
        yield store


def test_a_plain_store_keeps_nothing(plain: Store, tmp_path: Path) -> None:
    part = download(plain, CONTENT)
    plain.add([(md5(CONTENT), part)])
    plain.add_tree({"a": md5(CONTENT)}, md5(CONTENT))
    plain.save_hashes(tmp_path, {"a": md5(CONTENT)}, {})

    assert plain.size_of(md5(CONTENT)) is None
    assert plain.receipts is None


def test_a_plain_store_leaves_only_what_was_placed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as store:
        place(store, out, {}, {"m/a": download(store, CONTENT)})

    assert [path for path in out.rglob("*") if path.is_file()] == [out / "m/a"]
    assert sorted(path.name for path in out.iterdir()) == ["m"]


def test_a_plain_store_leaves_nothing_where_nothing_came(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "out") as store:
        download(store, CONTENT).unlink()

    assert list(tmp_path.glob("new")) == []


def test_a_plain_store_leaves_the_users_folders(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with opened(out) as store:
        download(store, CONTENT).unlink()

    assert list(tmp_path.glob("out/*")) == []
    assert out.is_dir()


def test_a_part_waits_for_the_next_pull(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as store:
        part = download(store, CONTENT)

    assert part.read_bytes() == CONTENT


def test_git_does_not_show_the_parts(tmp_path: Path) -> None:
    root = Project(tmp_path).repo
    root.mkdir()
    git(root, "init", "--quiet")
    with opened(root) as store:
        download(store, CONTENT)

    assert git(root, "status", "--porcelain", "--untracked-files=all") == ""


def test_two_targets_of_one_content_are_files_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as store:
        part = download(store, CONTENT)
        place(store, out, {}, {"a": part, "b": part, "m/c": part})

    inodes = {(out / path).stat().st_ino for path in ("a", "b", "m/c")}
    assert {(out / path).read_bytes() for path in ("a", "b", "m/c")} == {CONTENT}
    assert len(inodes) == 3


class Counted(type(Path())):  # type: ignore[misc]
    """A path that counts how often one is compared."""

    compared = 0

    __hash__ = type(Path()).__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return super().__eq__(other)


def test_the_work_grows_with_the_parts_and_not_with_their_square(
    tmp_path: Path,
) -> None:
    parts = {f"m/{n}": Counted(tmp_path / f"part-{n % 200}") for n in range(300)}
    for part in set(parts.values()):
        part.write_bytes(part.name.encode())
    Counted.compared = 0

    made = {path: f"{tmp_path}/new-{path[2:]}" for path in parts}
    staged = stage_parts(parts, made, tmp_path)

    assert Counted.compared < 2000
    assert [staged[path].read_text() for path in parts] == [
        part.name for part in parts.values()
    ]


def test_a_plain_store_that_closes_takes_nothing_of_another(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out) as store, store.lock() as scratch:
        (scratch / "file").write_bytes(CONTENT)
        with opened(out) as other:
            download(other, CONTENT).unlink()

        assert (scratch / "file").read_bytes() == CONTENT
        assert (out / ".dvc-models" / ".gitignore").exists()


@pytest.mark.parametrize("inner", [".dvc-models", ".dvc-models/parts"])
def test_a_hidden_folder_that_is_a_link_is_refused(tmp_path: Path, inner: str) -> None:
    outside, link = tmp_path / "outside", tmp_path / "out" / inner
    outside.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    with opened(tmp_path / "out") as store, pytest.raises(UnsafePathError):
        download(store, CONTENT)

    assert list(outside.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with opened(tmp_path / "file" / "out") as store, pytest.raises(LocalDiskError):
        download(store, CONTENT)


# Power cuts


def calls_of_keeping(project: Path, calls: str) -> list[str]:
    """Keep CONTENT and place it; the system calls of some kinds, line by line."""
    need_program("strace")
    code = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_store import CONTENT, add, md5, opened, place

root = Path(sys.argv[1])
with opened(root) as store:
    add(store, {md5(CONTENT): CONTENT})
    place(store, root, {"new/a": md5(CONTENT)})
"""
    log = project.parent / "calls"
    strace = ["strace", "-f", "-y", "-o", log, "-e", f"trace={calls}"]
    here = Path(__file__).parent
    run = [sys.executable, "-c", code, project, here, here.parents[1]]
    subprocess.run([*strace, *run], check=True)
    return log.read_text().splitlines()


def test_content_and_names_are_flushed_in_the_order_that_survives_a_power_cut(
    project: Path,
) -> None:
    calls = "fsync,link,linkat,rename,renameat,renameat2"
    lines = calls_of_keeping(project, calls)

    def first(*words: str) -> int:
        return next(
            number
            for number, line in enumerate(lines)
            if all(word in line for word in words) and "= -1" not in line
        )

    target = first("linkat(", f"<{project}/new>", '"a"')
    assert first("fsync(", "cache/parts/") < first("rename(", "cache/files/md5/")
    assert first("fsync(", "/placing-") < target
    assert target < first("fsync(", f"<{project}/new>")
    assert target < first("fsync(", f"<{project}>")


def test_an_object_is_never_open_for_writing(project: Path) -> None:
    """Another pull may have put it there, and take it for whole."""
    lines = calls_of_keeping(project, "openat,rename")

    written = [line for line in lines if "cache/files/md5/" in line and "O_WR" in line]
    moved = [line for line in lines if "cache/files/md5/" in line and "= 0" in line]
    assert (written, len(moved)) == ([], 1)


# New folders, and links


def place_whole(
    store: Store,
    root: Path,
    cached: Mapping[str, Digest],
    parts: Mapping[str, Path] | None = None,
) -> Mapping[str, FileStamp | None]:
    """Place files as a pull does, new folders as a whole."""
    workspace = Workspace(root)
    paths = [*cached, *(parts or {})]
    with store.lock() as scratch:
        missing = workspace.missing_folders(paths)
        staged = store.stage(cached, parts or {}, scratch, new_folders=missing)
        return workspace.place(
            staged, remove=[], seen=dict.fromkeys(paths), backups=scratch
        )


@pytest.mark.parametrize("cache_type", ["copy", "hardlink", "symlink", "reflink,copy"])
def test_a_new_folder_is_linked_as_the_config_says_and_dvc_knows_it(
    project: Path, cache_type: str
) -> None:
    configure(project, type=cache_type)
    contents = {"m/a": CONTENT, "m/n/b": b"other\n", "m/n/empty": b"", "top": CONTENT}
    digests = {path: md5(content) for path, content in contents.items()}
    with opened(project) as store:
        add(store, {digests[path]: content for path, content in contents.items()})
        stamps = place_whole(store, project, digests)
        store.save_hashes(project, digests, stamps)

    for path, content in contents.items():
        target = project / path
        is_link = cache_type == "symlink"
        links = 2 if cache_type == "hardlink" and content else 1
        assert target.read_bytes() == content
        assert target.is_symlink() == is_link
        assert is_link or target.stat().st_nlink >= links
        assert remembered(project, target) == digests[path].value
    if cache_type == "hardlink":
        assert (project / "m/n/empty").stat().st_nlink == 1


def test_a_hard_link_of_an_object_that_is_a_link_is_one_of_its_file(
    project: Path, tmp_path: Path
) -> None:
    configure(project, type="hardlink")
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        (stored,) = (project / ".dvc/cache").rglob(digest.value[2:])
        stored.rename(tmp_path / "elsewhere")
        stored.symlink_to(tmp_path / "elsewhere")
        place_whole(store, project, {"m/a": digest})

    assert not (project / "m/a").is_symlink()
    assert (project / "m/a").samefile(tmp_path / "elsewhere")


def test_the_hashes_of_files_that_were_just_placed_are_saved_without_a_look(
    project: Path,
) -> None:
    digest = md5(CONTENT)
    with opened(project) as store:
        add(store, {digest: CONTENT})
        stamps = place_whole(store, project, {"m/a": digest})
        (project / "m/a").rename(project / "away")
        store.save_hashes(project, {"m/a": digest}, stamps)
        (project / "away").rename(project / "m/a")

    assert remembered(project, project / "m/a") == digest.value


@pytest.mark.parametrize("nanoseconds", [0, 1, 3, 123_456_789, 999_999_999])
@pytest.mark.parametrize("seconds", [0, 1, 1_700_000_001, 4_000_000_003, -5])
def test_the_time_of_a_stamp_is_exactly_that_of_the_file(
    tmp_path: Path, seconds: int, nanoseconds: int
) -> None:
    """DVC's state compares it with the number that Python returns."""
    file = tmp_path / "file"
    file.touch()
    os.utime(file, ns=(0, seconds * 10**9 + nanoseconds))

    assert FileStamp.of(file.stat()).mtime == file.stat().st_mtime


def test_parts_in_new_folders_are_linked_and_stay(tmp_path: Path) -> None:
    """If the placement fails, the next pull finds them."""
    out = tmp_path / "out"
    with opened(out) as store:
        parts = {path: download(store, path.encode()) for path in ("m/a", "m/n/b", "c")}
        parts["m/twin"] = parts["m/a"]
        with store.lock() as scratch:
            staged = store.stage({}, parts, scratch, new_folders={"m"})

            assert staged.folders == {"m": scratch / "folder-0"}
            assert staged.files["c"] == parts["c"]
            assert staged.files["m/n/b"] == scratch / "folder-0/n/b"
            assert staged.files["m/n/b"].samefile(parts["m/n/b"])
            assert staged.files["m/twin"].samefile(parts["m/a"])
            assert staged.files["m/a"].read_bytes() == b"m/a"
            assert not staged.files["m/a"].samefile(parts["m/a"])


def test_parts_on_another_file_system_than_the_new_folder_are_placed_there(
    project: Path, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=other_file_system(tmp_path)) as far:
        part = Path(far, "part")
        part.write_bytes(CONTENT)
        with opened(project, cache=False) as store:
            place_whole(store, project, {}, {"m/a": part, "m/b": part})

    assert [(project / "m" / name).read_bytes() for name in "ab"] == [CONTENT, CONTENT]


COPY_MANY = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_store import add, md5, opened, place_whole

root = Path(sys.argv[1])
contents = {f"m/{number}": str(number).encode() for number in range(100)}
digests = {path: md5(content) for path, content in contents.items()}
with opened(root) as store:
    add(store, {digests[path]: content for path, content in contents.items()})
    place_whole(store, root, digests)
"""


@pytest.mark.linux
@pytest.mark.parametrize("delay_us", [0, 20000], ids=["fast", "slow"])
def test_copies_are_made_at_the_same_time_where_the_file_system_is_slow(
    project: Path, tmp_path: Path, delay_us: int
) -> None:
    need_program("strace")
    configure(project, type="copy")
    log = tmp_path / "calls"
    trace = ["-e", "trace=copy_file_range,syncfs,fsync"]
    if delay_us:
        trace += ["-e", f"inject=copy_file_range:delay_exit={delay_us}"]
    here = Path(__file__).parent
    run = [sys.executable, "-c", COPY_MANY, project, here, here.parents[1]]
    subprocess.run(["strace", "-f", "-o", log, *trace, *run], check=True)
    lines = log.read_text().splitlines()

    copying = {line.split()[0] for line in lines if "copy_file_range(" in line}
    flushes = [line for line in lines if re.search(r"\bf?sync(fs)?\(", line)]
    assert len(copying) == 1 if delay_us == 0 else len(copying) > 1
    assert len(flushes) <= 20
    assert len(list((project / "m").iterdir())) == 100


def test_an_object_is_flushed_only_as_long_as_it_is_the_same_file(
    project: Path,
) -> None:
    """Files of two file systems may have one inode number."""
    with opened(project) as store:
        add(store, {md5(CONTENT): CONTENT})
        path = Path(store._objects.path_of(md5(CONTENT)))
        stamp = FileStamp.of(path.stat())

        assert store._objects.is_flushed(stamp)
        assert not store._objects.is_flushed(replace(stamp, mtime_ns=0))


@pytest.mark.parametrize("algorithm", [MD5, MD5_DOS2UNIX])
def test_an_object_is_found_where_dvc_has_it(project: Path, algorithm: str) -> None:
    with opened(project) as store:
        digest = Digest(algorithm, md5(CONTENT).value)

        assert store._project.object_path(digest) == store._objects.path_of(digest)
