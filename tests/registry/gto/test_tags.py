"""What tags register; ``test_counting`` compares random histories with GTO."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import gto.api
import pytest
from projects import Project, copy_project, git
from spies import SpyGit
from tagging import NewTag, import_tags, write_ref, write_tag

from dvc_studio_models.errors import UnreadableRepoError, VersionUnknownError
from dvc_studio_models.model import ModelRef, ModelVersion
from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.gto.tags import Registry, read_registry

if TYPE_CHECKING:
    from pathlib import Path

CHURN = ModelRef("churn")
PROD = ModelRef("churn", stage="prod")


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def history(tmp_path: Path) -> Project:
    """Three empty commits on main, nothing else."""
    project = Project(tmp_path / "history")
    project.repo.mkdir(parents=True)
    git(project.repo, "init", "--quiet", "--initial-branch", "main")
    for message in ("one", "two", "three"):
        git(project.repo, "commit", "--quiet", "--allow-empty", "--message", message)
    return project


def read(project: Project) -> Registry:
    return read_registry(open_reader(project.repo))


def resolved(project: Project, ref: ModelRef) -> str | None:
    found = read(project).resolve(ref)
    return found.version if found else None


# -- versions and stages


def test_latest_is_the_greatest_semver_and_not_the_newest_tag(history: Project) -> None:
    history.tag("churn@v10.0.0", "main~2")
    history.tag("churn@v9.0.0", "main~1")
    history.tag("churn@v10.0.0-rc.1", "main")

    assert resolved(history, CHURN) == "v10.0.0"


def test_a_version_is_found_with_the_commit_it_was_registered_on(
    history: Project,
) -> None:
    history.tag("churn@v1.0.0", "main~1")

    found = read(history).resolve(ModelRef("churn", version="v1.0.0"))

    assert found == ModelVersion("v1.0.0", history.commit("main~1"))


def test_a_stage_is_where_it_was_assigned_last(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main")
    history.tag("churn#prod#2", "main~1")

    assert resolved(history, PROD) == "v1.0.0"


def test_an_unassigned_stage_falls_back_to_the_version_it_still_has(
    history: Project,
) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main~1")
    history.tag("churn#prod#2", "main")
    history.tag("churn#prod!#3", "main")

    assert resolved(history, PROD) == "v1.0.0"


def test_an_unassigned_stage_does_not_count(history: Project) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn#prod#1")
    history.tag("churn#prod!#2")

    assert resolved(history, PROD) is None


@pytest.mark.parametrize(
    "ref",
    [ModelRef("churn", version="v2.0.0"), PROD],
    ids=["by version", "by its stage"],
)
def test_a_deregistered_version_does_not_count(history: Project, ref: ModelRef) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main")
    history.tag("churn@v2.0.0!", "main")

    assert resolved(history, ref) is None
    assert resolved(history, CHURN) == "v1.0.0"


def test_a_deprecated_model_does_not_count(history: Project) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn#prod#1")
    history.tag("churn@deprecated")

    assert read(history).models == ()


def test_a_model_that_was_registered_again_counts(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@deprecated", "main~1")
    history.tag("churn@v2.0.0", "main")

    assert resolved(history, CHURN) == "v2.0.0"


def test_a_model_in_a_folder_has_its_folder_in_its_name(history: Project) -> None:
    history.tag("services/fraud=fraud@v1.0.0")

    assert resolved(history, ModelRef("services/fraud:fraud")) == "v1.0.0"
    assert resolved(history, ModelRef("fraud")) is None


def test_a_lightweight_tag_does_not_count(history: Project) -> None:
    git(history.repo, "tag", "churn@v1.0.0")

    assert resolved(history, CHURN) is None


def test_a_tag_of_a_tag_means_the_commit_behind_it(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    git(history.repo, "tag", "-a", "-m", "nested", "churn#prod#1", "churn@v1.0.0")

    assert resolved(history, PROD) == "v1.0.0"


def test_a_stage_may_lie_on_a_commit_without_a_version(history: Project) -> None:
    history.tag("churn#prod#1", "main~1")

    found = read(history).resolve(PROD)

    assert found == ModelVersion(history.commit("main~1"), history.commit("main~1"))


def test_a_repo_without_tags_knows_no_models(history: Project) -> None:
    assert read(history).models == ()


def test_tags_that_are_not_of_gto_are_passed_over(history: Project) -> None:
    for name in ("v1.0.0", "release/2024", "churn@created", "churn@1.0"):
        history.tag(name)

    assert read(history).models == ()


def test_a_stage_on_a_commit_with_several_versions_is_there(
    history: Project, caplog: pytest.LogCaptureFixture
) -> None:
    history.tag("churn@v1.0.0")
    history.tag("churn@v2.0.0")
    history.tag("churn#prod#1")
    history.tag("bert@v1.0.0")

    assert resolved(history, PROD) == "v2.0.0"
    assert resolved(history, CHURN) == "v2.0.0"
    assert resolved(history, ModelRef("bert")) == "v1.0.0"
    assert "ignored" not in caplog.text


def test_packed_tags_are_seen(history: Project) -> None:
    history.tag("churn@v1.0.0")
    git(history.repo, "pack-refs", "--all")

    assert resolved(history, CHURN) == "v1.0.0"


def test_it_counts_as_gto_itself(project: Project) -> None:
    state = gto.api.show(str(project.repo))

    known = read(project).models

    assert {m.name: m.versions[0].version for m in known} == {
        name: model["version"] for name, model in state.items()
    }
    assert {
        f"{m.name}#{stage}": v.version for m in known for stage, v in m.stages.items()
    } == {
        f"{name}#{stage}": version
        for name, model in state.items()
        for stage, version in model["stage"].items()
        if version
    }


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        (
            ModelRef("chrn"),
            (
                "model 'chrn' is not registered; registered models: bert, churn, "
                "services/fraud:fraud"
            ),
        ),
        (
            ModelRef("churn", stage="test"),
            "stage 'test' is not assigned; known stages: dev, prod",
        ),
        (
            ModelRef("bert", stage="prod"),
            "stage 'prod' is not assigned; known stages: none",
        ),
        (
            ModelRef("churn", version="v3.0.0"),
            "version 'v3.0.0' is not registered; known versions: v2.0.0, v1.0.0",
        ),
    ],
    ids=["model", "stage", "stage of none", "version"],
)
def test_what_is_missing_is_said_with_what_there_is(
    project: Project, ref: ModelRef, sentence: str
) -> None:
    assert read(project).describe_missing(ref) == sentence


def test_a_model_with_stages_only_has_no_latest_version(history: Project) -> None:
    history.tag("churn#prod#1")

    registry = read(history)

    assert registry.resolve(CHURN) is None
    assert registry.describe_missing(CHURN) == (
        "no version of 'churn' is registered; known versions: none"
    )


def test_a_long_list_is_cut(history: Project) -> None:
    for minor in range(12):
        history.tag(f"churn@v1.{minor}.0", f"main~{minor % 3}")

    said = read(history).describe_missing(ModelRef("churn", version="v3.0.0"))

    assert said.endswith("v1.3.0, v1.2.0 and 2 more")


# -- as they are now


def test_neither_gto_nor_libgit2_is_imported(project: Project) -> None:
    script = """if True:
        import sys
        from pathlib import Path
        from dvc_studio_models.model import ModelRef
        from dvc_studio_models.registry.git.open import open_reader
        from dvc_studio_models.registry.gto.tags import read_registry
        registry = read_registry(open_reader(Path(sys.argv[1])))
        found = registry.resolve(ModelRef("churn", stage="prod"))
        print(found.version, {"gto", "pygit2", "dulwich", "scmrepo"} & {*sys.modules})
    """

    done = subprocess.run(
        [sys.executable, "-c", script, str(project.repo)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "v2.0.0 set()\n"


def test_two_reads_agree(project: Project) -> None:
    assert read(project) == read(project)


def test_a_new_tag_counts_at_once(project: Project) -> None:
    resolved(project, PROD)

    project.tag("churn#prod#4", "churn@v1.0.0")

    assert resolved(project, PROD) == "v1.0.0"


@pytest.mark.parametrize("packed", ["before", "after", "both", "never"])
def test_a_moved_tag_is_where_it_is_now(history: Project, packed: str) -> None:
    history.tag("churn@v1.0.0", "main~1")
    if packed in {"before", "both"}:
        git(history.repo, "pack-refs", "--all")
    resolved(history, CHURN)

    git(history.repo, "tag", "-f", "-a", "-m", "anew", "churn@v1.0.0", "main")
    if packed in {"after", "both"}:
        git(history.repo, "pack-refs", "--all")

    found = read(history).resolve(CHURN)
    assert found == ModelVersion("v1.0.0", history.commit("main"))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_simple_stage_tag_that_moves_with_each_promotion_is_followed(
    history: Project, tmp_path: Path, mirrored: bool
) -> None:
    history.tag("churn@v1.0.0", "main~1")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod", "main~1")
    copy = tmp_path / "copy"
    kind = ["--mirror"] if mirrored else []
    git(tmp_path, "clone", "--quiet", *kind, str(history.repo), str(copy))
    git(copy, "pack-refs", "--all")

    git(history.repo, "tag", "--delete", "churn#prod")
    history.tag("churn#prod", "main")
    git(copy, "fetch", "--quiet", "--tags", "--force", "origin")

    found = read_registry(open_reader(copy)).resolve(PROD)
    assert found == ModelVersion("v2.0.0", history.commit("main"))


def test_a_deleted_tag_counts_no_more_packed_or_not(history: Project) -> None:
    history.tag("churn@v1.0.0")
    git(history.repo, "pack-refs", "--all")
    git(history.repo, "tag", "--delete", "churn@v1.0.0")

    assert read(history).models == ()


@pytest.mark.slow
def test_ten_thousand_tags_take_as_many_calls_of_git_as_three(
    history: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = history.commit("main")
    names = [f"churn@v1.{n}.0" for n in range(5000)]
    names += [f"churn#prod#{n}" for n in range(5000)]
    import_tags(history.repo, (NewTag(name, commit) for name in names[:3]))
    spy = SpyGit.install(tmp_path / "spy", monkeypatch)
    read(history)
    few = spy.count()
    import_tags(history.repo, (NewTag(name, commit) for name in names))
    spy.clear()

    registry = read(history)

    assert [len(model.versions) for model in registry.models] == [5000]
    assert spy.count() == few <= 7


# -- tags that do not count


def lightweight(history: Project, *names: str) -> None:
    for name in names:
        git(history.repo, "tag", "--force", name, "main")


@pytest.fixture
def staged(history: Project) -> Project:
    """v1.0.0 and v2.0.0; prod is v1.0.0 by its second tag."""
    history.tag("churn@v1.0.0", "main~2")
    history.tag("churn@v2.0.0", "main~1")
    history.tag("churn#prod#1", "main~1")
    history.tag("churn#prod#2", "main~2")
    return history


@pytest.mark.parametrize(
    ("tag", "ref"),
    [
        pytest.param("churn#prod#3", PROD, id="the stage's next tag"),
        pytest.param("churn#prod#2", PROD, id="the stage's own tag"),
        pytest.param("churn#prod!#3", PROD, id="taken back"),
        pytest.param("churn#prod", PROD, id="a simple tag of the stage"),
        pytest.param("churn@v3.0.0", CHURN, id="a greater version"),
        pytest.param("churn@v2.0.0!", CHURN, id="the latest is deregistered"),
        pytest.param("churn@v2.0.0", CHURN, id="the latest itself"),
        pytest.param(
            "churn@v3.0.0", ModelRef("churn", version="v3.0.0"), id="the very version"
        ),
        pytest.param(
            "churn@v1.0.0#5", ModelRef("churn", version="v1.0.0"), id="registered anew"
        ),
        pytest.param(
            "churn@deprecated", ModelRef("churn", version="v1.0.0"), id="deprecated"
        ),
        pytest.param("churn@deprecated", PROD, id="deprecated stage"),
    ],
)
def test_a_lightweight_tag_that_may_change_the_answer_is_named(
    staged: Project, tag: str, ref: ModelRef
) -> None:
    lightweight(staged, tag)

    assert read(staged).ignored_tags(ref) == [tag]


@pytest.mark.parametrize(
    ("tag", "ref"),
    [
        pytest.param("churn#prod#1", PROD, id="an older tag of the stage"),
        pytest.param("churn#dev#9", PROD, id="another stage"),
        pytest.param("churn@v3.0.0", PROD, id="a version, and a stage is asked for"),
        pytest.param("churn#prod#3", CHURN, id="a stage, and the latest is asked for"),
        pytest.param("churn@v1.5.0", CHURN, id="a lesser version"),
        pytest.param("churn@v1.0.0!", CHURN, id="another version is deregistered"),
        pytest.param(
            "churn@v3.0.0", ModelRef("churn", version="v1.0.0"), id="another version"
        ),
        pytest.param(
            "churn#prod#3", ModelRef("churn", version="v1.0.0"), id="version, no stage"
        ),
        pytest.param("bert@v9.0.0", CHURN, id="another model"),
        pytest.param("x=churn@v9.0.0", CHURN, id="the same name in a folder"),
        pytest.param("v9.0.0", CHURN, id="none of GTO's"),
    ],
)
def test_a_lightweight_tag_that_cannot_change_the_answer_is_not_named(
    staged: Project, tag: str, ref: ModelRef
) -> None:
    before = read(staged).resolve(ref)
    lightweight(staged, tag)

    assert read(staged).ignored_tags(ref) == []
    assert read(staged).resolve(ref) == before


def odd_tags(repo: Path, commit: str) -> dict[str, list[str | bytes]]:
    """Return tags that Git accepts and GTO does not, by what is wrong with them."""
    blob = git(repo, "hash-object", "-w", "--stdin").strip()
    tree = git(repo, "rev-parse", "main^{tree}").strip()
    head = [f"object {commit}", "type commit", "tag x@v2.0.0"]
    tagger = "tagger Ada <ada@example.com> 1700000000 +0000"
    end = ["", "m", ""]
    return {
        "no address": [*head, "tagger Ada <> 1700000000 +0000", *end],
        "no brackets": [*head, "tagger Ada 1700000000 +0000", *end],
        "no time": [*head, "tagger Ada <ada@example.com>", *end],
        "no tagger": [*head, *end],
        "a blob": [f"object {blob}", "type blob", "tag x@v2.0.0", tagger, *end],
        "a tree": [f"object {tree}", "type tree", "tag x@v2.0.0", tagger, *end],
        "not an id": ["object main", "type commit", "tag x@v2.0.0", tagger, *end],
        "another name": [*head[:2], "tag x@v3.0.0", tagger, *end],
        "no such hour": [*head, tagger.replace("+0000", "+9999"), *end],
        "no such year": [*head, tagger.replace("17", "99999999999999"), *end],
        "a blob that is called a commit": [
            *(f"object {blob}", "type commit", "tag x@v2.0.0", tagger, *end)
        ],
        "binary": [b"\xff\xfe\x00", b"\xff"],
        "empty": [],
    }


ODD = (
    *("no address", "no brackets", "no time", "no tagger", "a blob", "a tree"),
    *("not an id", "another name", "no such hour", "no such year"),
    *("a blob that is called a commit", "binary", "empty"),
)


@pytest.mark.parametrize("what", ODD)
def test_one_odd_tag_is_passed_over_with_a_warning_that_names_it(
    history: Project, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    history.tag("churn@v1.0.0")
    history.tag("x@v1.0.0")
    write_tag(history.repo, "x@v2.0.0", odd_tags(history.repo, "0" * 40)[what])
    commit = history.commit("main")
    write_tag(history.repo, "x@v2.0.0", odd_tags(history.repo, commit)[what])

    registry = read(history)

    assert {m.name: m.versions[0].version for m in registry.models} == {
        "churn": "v1.0.0",
        "x": "v1.0.0",
    }
    assert caplog.text.count("ignored Git tags that GTO cannot read: x@v2.0.0") == 1


def test_all_odd_tags_are_named_in_one_warning(
    history: Project, caplog: pytest.LogCaptureFixture
) -> None:
    history.tag("churn@v1.0.0")
    for name in ("x@v1.0.0", "y@v1.0.0"):
        write_tag(history.repo, name, ["object", ""])
    write_ref(history.repo, "z@v1.0.0", "1" * 40)

    assert [model.name for model in read(history).models] == ["churn"]
    assert caplog.messages == [
        "ignored Git tags that GTO cannot read: x@v1.0.0, y@v1.0.0",
        "Git cannot read these tags, or their commits are missing: z@v1.0.0",
    ]


LOST = {
    "a tag": ["type tag", "1" * 40],
    "a commit": ["type commit", "2" * 40],
}


@pytest.mark.parametrize("what", [*LOST, "the tag itself"])
def test_a_tag_that_git_cannot_read_is_never_taken_for_none(
    history: Project, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    history.tag("churn@v1.0.0")
    if what in LOST:
        kind, oid = LOST[what]
        tagger = "tagger Ada <ada@example.com> 1700000000 +0000"
        head = [f"object {oid}", kind, "tag churn@v2.0.0", tagger, "", "m", ""]
        write_tag(history.repo, "churn@v2.0.0", head)
    else:
        history.tag("churn@v2.0.0")
        oid = git(history.repo, "rev-parse", "churn@v2.0.0").strip()
        loose = history.repo / ".git/objects" / oid[:2] / oid[2:]
        loose.chmod(0o644)
        loose.write_bytes(b"")

    registry = read(history)

    assert (
        "Git cannot read these tags, or their commits are missing: churn@v2.0.0"
        in caplog.text
    )
    assert isinstance(registry.version_error(CHURN), VersionUnknownError)
    assert registry.version_error(ModelRef("churn", version="v1.0.0")) is None


def test_a_list_of_what_is_registered_names_the_tags_that_git_cannot_read(
    history: Project,
) -> None:
    history.tag("bert@v1.0.0", "main~1")
    history.tag("churn@v2.0.0")
    history.tag("churn#prod#1", "main~1")
    oid = git(history.repo, "rev-parse", "churn@v2.0.0").strip()
    loose = history.repo / ".git/objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"")

    registry = read(history)

    assert registry.describe_missing(ModelRef("chrn")) == (
        "model 'chrn' is not registered; registered models: bert, churn; Git cannot "
        "read these tags: churn@v2.0.0"
    )
    assert registry.describe_missing(ModelRef("churn", stage="dev")) == (
        "stage 'dev' is not assigned; known stages: prod; Git cannot read these tags: "
        "churn@v2.0.0"
    )
    assert registry.describe_missing(ModelRef("bert", stage="dev")) == (
        "stage 'dev' is not assigned; known stages: none"
    )


@pytest.mark.parametrize("content", ["garbage", "", "ref: refs/tags/nowhere"])
def test_a_broken_ref_spoils_no_other(history: Project, content: str) -> None:
    history.tag("churn@v1.0.0")
    write_ref(history.repo, "churn@v2.0.0", content)

    assert resolved(history, CHURN) == "v1.0.0"


def test_an_object_that_git_cannot_read_either_is_an_error(history: Project) -> None:
    history.tag("churn@v1.0.0")
    oid = git(history.repo, "rev-parse", "churn@v1.0.0").strip()
    path = history.repo / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(UnreadableRepoError, match="corrupt"):
        read(history)


# -- tags that do count


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("f\xfcr immer".encode("latin-1"), id="Latin-1"),
        pytest.param(b"\x00\xff\xfe", id="binary"),
        pytest.param(b"object " + b"1" * 40 + b"\ntype blob", id="like a header"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_tag_counts_whatever_its_message(history: Project, message: bytes) -> None:
    commit = history.commit("main")
    head = [f"object {commit}", "type commit", "tag churn@v1.0.0"]
    tagger = "tagger Ada <ada@example.com> 1700000000 +0000"
    write_tag(history.repo, "churn@v1.0.0", [*head, tagger, "", message])

    assert resolved(history, CHURN) == "v1.0.0"


@pytest.mark.parametrize(
    "tagger",
    [
        pytest.param("J\xfcrgen <j@x>".encode("latin-1"), id="Latin-1"),
        pytest.param("模型 <m@x>".encode(), id="UTF-8"),
        pytest.param(b"A. B\rC <a@x>", id="a carriage return"),
        pytest.param(b'"Ada" (ci) <ada+ci@x>', id="marks"),
    ],
)
def test_a_tag_counts_whatever_its_tagger_is_called(
    history: Project, tagger: bytes
) -> None:
    head = [f"object {history.commit('main')}", "type commit", "tag churn@v1.0.0"]
    line = b"tagger %s 1700000000 +0000" % tagger
    write_tag(history.repo, "churn@v1.0.0", [*head, line, "", "m", ""])

    assert resolved(history, CHURN) == "v1.0.0"


def test_a_tag_of_a_tag_of_a_tag_counts_when_the_outer_one_was_made(
    history: Project,
) -> None:
    history.tag("churn@v1.0.0", "main~1")
    git(history.repo, "tag", "-a", "-m", "m", "one", "churn@v1.0.0")
    git(history.repo, "tag", "-a", "-m", "m", "two", "one")
    history.tag("churn@v2.0.0", "main")
    history.tag("churn#prod#1", "main")
    git(history.repo, "tag", "-a", "-m", "m", "churn#prod#2", "two")

    found = read(history).resolve(PROD)
    assert found == ModelVersion("v1.0.0", history.commit("main~1"))


def test_a_tag_goes_by_the_name_in_its_object_as_gto_has_it(history: Project) -> None:
    history.tag("churn@v1.0.0", "main~1")
    git(history.repo, "tag", "churn@v4.0.0", "churn@v1.0.0")

    assert resolved(history, CHURN) == "v1.0.0"
