"""The file that spares reading commits twice: right, mended, never in the way."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import Project, copy_project, git, write
from spies import SpyGit

from dvc_studio_models.errors import RecordUnreadableError, UnreadableRepoError
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.registry.records import CACHED_RECORDS, RecordReader

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.registry.gto.tags import Registry
    from dvc_studio_models.registry.recorded import RecordedModel


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "registry.json"


def reading(project: Project, cache: Path) -> contextlib.closing[RecordReader]:
    return contextlib.closing(RecordReader(open_reader(project.repo), cache=cache))


def read(
    project: Project, cache: Path, name: str = "churn", rev: str = "main"
) -> RecordedModel:
    reader = open_reader(project.repo)
    with contextlib.closing(RecordReader(reader, cache=cache)) as records:
        record = records.read(project.commit(rev), name)
    assert record
    return record


@pytest.mark.parametrize("name", ["churn", "bert", "services/fraud:fraud"])
def test_a_record_is_read_from_the_cache(
    project: Project, cache: Path, name: str
) -> None:
    record = read(project, cache, name)
    commit = project.commit("main")
    shutil.rmtree(project.repo / ".git" / "objects")
    (project.repo / ".git" / "objects").mkdir()

    with reading(project, cache) as records:
        assert records.read(commit, name) == record


def test_all_that_a_record_has_comes_back(project: Project, cache: Path) -> None:
    """A folder with files of DVC and of Git, one executable, one of a remote."""
    content = b"outs:\n- path: b.bin\n  md5: %s\n  size: 3\n  isexec: true\n" % (
        b"a" * 32
    )
    listed = (
        b"outs:\n- path: c\n  hash: md5\n  push: false\n  remote: other\n  files:\n"
        b"  - relpath: d\n    md5: %s\n    size: 1\n    cloud:\n      other:\n"
        b"        etag: abcdef\n        version_id: y\n" % (b"b" * 32)
    )
    annotation = b"artifacts:\n  m:\n    path: models/m\n"
    write(
        project.repo,
        {
            "dvc.yaml": annotation,
            "models/m/a.json": b"{}",
            "models/m/b.bin.dvc": content,
            "models/m/c.dvc": listed,
        },
    )
    git(project.repo, "add", "--all", "--force")
    git(project.repo, "commit", "--quiet", "--message", "one")

    first = read(project, cache, "m")
    again = read(project, cache, "m")

    assert first == again
    assert [file.path for file in first.git_files] == ["models/m/a.json"]
    assert {out.path: out.is_executable for out in first.outputs} == {
        "models/m/b.bin": True,
        "models/m/c": False,
    }


def test_what_a_commit_does_not_annotate_is_remembered_too(
    project: Project, cache: Path
) -> None:
    with reading(project, cache) as records:
        assert records.read(project.commit("main"), "nothing") is None

    assert list(json.loads(cache.read_bytes())["records"].values()) == [None]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\x00\xff",
        lambda _: b"[]",
        lambda _: b"[" * 100_000,
        lambda state: json.dumps({**state, "format": 99}).encode(),
        lambda state: json.dumps({**state, "records": 3}).encode(),
        lambda state: json.dumps({**state, "records": [{}]}).encode(),
        lambda state: json.dumps(
            {**state, "records": {key: {"path": 1} for key in state["records"]}}
        ).encode(),
        lambda state: json.dumps(
            {**state, "records": dict.fromkeys(state["records"], "x")}
        ).encode(),
    ],
    ids=[
        *("empty", "binary", "list", "deep", "format", "number", "records", "record"),
        "text",
    ],
)
def test_a_broken_cache_is_ignored_and_mended(
    project: Project, cache: Path, damage
) -> None:
    record = read(project, cache)
    whole = json.loads(cache.read_bytes())
    cache.write_bytes(damage(whole))

    assert read(project, cache) == record
    assert json.loads(cache.read_bytes()) == whole


def test_it_leaves_no_other_file_behind(project: Project, cache: Path) -> None:
    read(project, cache)

    assert [path.name for path in cache.parent.iterdir()] == ["registry.json"]


def test_a_cache_that_cannot_be_saved_does_not_matter(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert read(project, tmp_path / "file" / "registry.json").path == "models/churn.pkl"


def test_what_could_not_be_read_is_not_remembered(
    project: Project, cache: Path, tmp_path: Path
) -> None:
    commit = project.commit("churn@v1.0.0")
    objects = project.repo / ".git" / "objects"
    objects.rename(tmp_path / "objects")
    objects.mkdir()
    with (
        reading(project, cache) as records,
        pytest.raises(UnreadableRepoError),
    ):
        records.read(commit, "churn")
    objects.rmdir()
    (tmp_path / "objects").rename(objects)

    assert read(project, cache, rev="churn@v1.0.0").path == "models/churn.pkl"


def test_what_dvc_could_not_read_is_not_remembered(
    project: Project, cache: Path
) -> None:
    write(project.repo, {"dvc.yaml": b"artifacts: [\n"})
    git(project.repo, "commit", "--quiet", "--all", "--message", "Break it")
    with (
        reading(project, cache) as records,
        pytest.raises(RecordUnreadableError),
    ):
        records.read(project.commit("main"), "churn")

    assert not cache.exists()


def test_content_that_the_clone_lacked_is_looked_for_again(
    project: Project, cache: Path
) -> None:
    write(
        project.repo,
        {
            "dvc.yaml": b"artifacts:\n  m:\n    path: models\n",
            "models/a.json": b"only in one object",
        },
    )
    git(project.repo, "add", "--all", "--force")
    git(project.repo, "commit", "--quiet", "--message", "one")
    oid = git(project.repo, "rev-parse", "main:models/a.json").strip()
    blob = project.repo / ".git" / "objects" / oid[:2] / oid[2:]
    blob.rename(project.root / "blob")
    lacking = read(project, cache, "m")
    (project.root / "blob").rename(blob)

    whole = read(project, cache, "m")

    assert [file.digest for file in lacking.git_files if "a.json" in file.path] == [
        None
    ]
    assert all(file.digest for file in whole.git_files)


def test_two_that_read_at_once_keep_both_records(project: Project, cache: Path) -> None:
    one = RecordReader(open_reader(project.repo), cache=cache)
    other = RecordReader(open_reader(project.repo), cache=cache)
    one.read(project.commit("main"), "churn")
    other.read(project.commit("main"), "bert")
    one.close()
    other.close()

    names = [key.split()[1] for key in json.loads(cache.read_bytes())["records"]]
    assert sorted(names) == ["bert", "churn"]


def test_only_so_many_records_are_kept_and_the_newest_ones(
    project: Project, cache: Path
) -> None:
    cache.parent.mkdir()
    old = {f"{n:040} churn": None for n in range(CACHED_RECORDS + 5)}
    read(project, cache)
    state = json.loads(cache.read_bytes())
    cache.write_text(json.dumps({**state, "records": old}))

    read(project, cache)

    kept = list(json.loads(cache.read_bytes())["records"])
    assert len(kept) == CACHED_RECORDS
    assert kept[-1] == f"{project.commit('main')} churn"


def test_what_stands_in_for_a_commit_is_not_remembered(
    project: Project, cache: Path
) -> None:
    """``git replace`` can be taken back at any time."""
    old, new = read(project, cache, rev="churn@v1.0.0"), read(project, cache)
    cache.unlink()
    commits = (project.commit("main"), project.commit("churn@v1.0.0"))
    git(project.repo, "replace", *commits)

    assert read(project, cache) == old

    git(project.repo, "replace", "--delete", commits[0])
    assert read(project, cache) == new


# Tags


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpyGit:
    return SpyGit.install(tmp_path / "spy", monkeypatch)


def registered(project: Project, cache: Path | None = None) -> Registry:
    reader = open_reader(project.repo)
    with contextlib.closing(GitRegistry(reader, cache=cache)) as registry:
        return registry.tags


def test_tags_are_read_once(project: Project, cache: Path, spy: SpyGit) -> None:
    before = registered(project, cache)
    spy.clear()

    assert registered(project, cache) == before
    assert before == registered(project)
    assert before.models
    assert (spy.count("for-each-ref"), spy.count("cat-file")) == (3, 3)


def test_only_new_tags_are_read(project: Project, cache: Path, spy: SpyGit) -> None:
    registered(project, cache)
    project.tag("churn@v7.0.0")
    spy.clear()

    found = registered(project, cache)

    assert spy.count("cat-file") == 3
    assert found.models == registered(project).models
    spy.clear()
    assert (registered(project, cache), spy.count("cat-file")) == (found, 0)


def test_a_moved_tag_is_read_again(project: Project, cache: Path) -> None:
    before = registered(project, cache)
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "Next")
    git(project.repo, "tag", "--force", "-am", "moved", "churn@v2.0.0")

    after = registered(project, cache)

    assert after.models == registered(project).models != before.models


def test_a_removed_tag_is_forgotten(project: Project, cache: Path) -> None:
    registered(project, cache)
    git(project.repo, "tag", "--delete", "churn@v2.0.0")

    after = registered(project, cache)

    assert after == registered(project)
    assert "churn@v2.0.0" not in cache.read_text()


def test_a_tag_under_another_name_is_not_the_same(
    project: Project, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registered(project, cache)
    oid = git(project.repo, "rev-parse", "churn@v2.0.0").strip()
    git(project.repo, "update-ref", "refs/tags/churn@v9.0.0", oid)

    for _ in range(2):  # it is refused again, with the same warning
        caplog.clear()
        assert registered(project, cache).models == registered(project).models
        assert "churn@v9.0.0" in caplog.text


def test_lightweight_tags_are_read_each_time(project: Project, cache: Path) -> None:
    git(project.repo, "tag", "churn@v9.0.0")

    for _ in range(2):
        assert [t.tag for t in registered(project, cache).lightweight] == [
            "churn@v9.0.0"
        ]


@pytest.mark.parametrize(
    "fact",
    [
        None,
        {},
        [],
        ["a" * 40],
        ["a" * 40, 1, 2],
        ["a" * 40, "1"],
        ["a" * 40, True],
        ["a" * 40 + "\n", 1],
        ["main", 1],
        [1, 1],
    ],
    ids=str,
)
def test_a_damaged_entry_of_a_tag_is_read_from_git(
    project: Project, cache: Path, fact: object
) -> None:
    before = registered(project, cache)
    state = json.loads(cache.read_text())
    state["tags"] = dict.fromkeys(state["tags"], fact)
    cache.write_text(json.dumps(state))

    assert registered(project, cache) == before
    assert fact not in json.loads(cache.read_text())["tags"].values()


def test_a_cache_without_tags_keeps_its_records(project: Project, cache: Path) -> None:
    read(project, cache)
    state = json.loads(cache.read_text())
    del state["tags"]
    cache.write_text(json.dumps(state))

    registered(project, cache)

    after = json.loads(cache.read_text())
    assert after["records"] == state["records"]
    assert after["tags"]


def test_tags_are_not_cached_where_objects_are_replaced(
    project: Project, cache: Path
) -> None:
    old, new = (git(project.repo, "rev-parse", f"churn@v{n}.0.0").strip() for n in "12")
    git(project.repo, "replace", "--force", old, new)

    assert registered(project, cache) == registered(project)
    assert not cache.exists()
