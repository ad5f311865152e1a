"""Which repo to ask for, and whether Git agrees with what Studio serves."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from projects import (
    BERT,
    CHURN,
    FRAUD,
    ORIGIN_URL,
    Project,
    commit_all,
    copy_project,
    git,
    write,
)
from servers import PLANTED_TOKEN, StudioServer, object_path, signed

from dvc_studio_models.errors import (
    GitRemoteError,
    IntegrityError,
    ModelMovedError,
    StudioOfflineError,
    TokenMissingError,
    UnsafePathError,
)
from dvc_studio_models.model import (
    Digest,
    ModelFile,
    ModelRef,
    ModelVersion,
    PullOptions,
)
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry
from dvc_studio_models.sources.context import PullContext
from dvc_studio_models.sources.resolve import (
    ResolvedModel,
    connect,
    infer_repo_url,
    make_renewal,
    object_version_id,
)
from dvc_studio_models.sources.settings import Settings
from dvc_studio_models.sources.verification import (
    verify_downloads_with_git,
    verify_with_git,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dvc_studio_models.http.studio.client import StudioClient
    from dvc_studio_models.registry.recorded import RecordedOutput

HOSTED = "https://studio.example.com"
SETTINGS = Settings(HOSTED, None, offline=False, repo_url=None, git_remote=None)
SECRET = "PLANTED_SECRET_KEY"

V1 = ModelRef("churn", version="v1.0.0")
V2 = ModelRef("churn", version="v2.0.0")
PROD = ModelRef("churn", stage="prod")
LATEST = ModelRef("churn")
BERT_V1 = ModelRef("bert", version="v1.0.0")
PATH = "models/churn.pkl"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def clone(project: Project) -> Clone:
    return Clone.find(project.repo)


def file_of(path: str, content: bytes, *, dvc2: bool = False) -> ModelFile:
    """Give what a content-addressed remote's link tells."""
    url = signed(f"https://h{object_path(content, dvc2=dvc2)}")
    return ModelFile(path, url, Digest.from_url(url))


def plain(path: str) -> ModelFile:
    """Give what a cloud-versioned remote's link tells: no hash."""
    return ModelFile(path, f"https://h/bucket/{path}?versionId=1")


def answer_of(ref: ModelRef, *files: ModelFile) -> ResolvedModel:
    return ResolvedModel(ref, tuple(sorted(files, key=lambda file: file.path)))


def churn(ref: ModelRef, version: str) -> ResolvedModel:
    return answer_of(ref, file_of(PATH, CHURN[version]))


def bert(ref: ModelRef, files: Mapping[str, bytes]) -> ResolvedModel:
    return answer_of(
        ref, *(file_of(f"models/bert/{path}", c) for path, c in files.items())
    )


def no_listing(_: RecordedOutput) -> None:
    """Know of no folder what is in it."""


def verify(
    answer: ResolvedModel, clone: Clone, cache: Path | None = None
) -> ResolvedModel:
    """Verify with the clone's Git, where nobody knows what is in a folder."""
    with contextlib.closing(GitRegistry(clone.reader, cache=cache)) as registry:
        return verify_with_git(answer, registry, no_listing)


def verify_downloads(
    answer: ResolvedModel, digests: Mapping[str, Digest], clone: Clone
) -> ResolvedModel:
    """Do so after the download."""
    with contextlib.closing(GitRegistry(clone.reader)) as registry:
        return verify_downloads_with_git(answer, digests, registry, no_listing)


def md5(content: bytes) -> Digest:
    return Digest("md5", hashlib.md5(content).hexdigest())


def known(project: Project, version: str, name: str = "churn") -> ModelVersion:
    return ModelVersion(version, project.commit(f"{name}@{version}"))


# -- which repo

RULES = ["--repo", "--git-remote", "exp.git_remote", "studio.repo_url", "upstream"]


@pytest.mark.parametrize("winner", RULES)
def test_the_first_rule_that_applies_tells_the_repo(
    project: Project, clone: Clone, winner: str
) -> None:
    """All rules from the winner on apply; each would give its own name."""
    rules = RULES[RULES.index(winner) :]
    for name in ("--git-remote", "exp.git_remote", "upstream"):
        remote = name.strip("-")
        git(project.repo, "remote", "add", remote, f"https://h/{name}/r.git")
    if "upstream" in rules:
        git(project.repo, "config", "branch.main.remote", "upstream")
    settings = replace(
        SETTINGS,
        git_remote="exp.git_remote" if "exp.git_remote" in rules else None,
        repo_url="https://h/studio.repo_url/r.git"
        if "studio.repo_url" in rules
        else None,
    )
    options = PullOptions(
        repo="https://h/--repo/r.git" if "--repo" in rules else None,
        git_remote="git-remote" if "--git-remote" in rules else None,
    )

    assert infer_repo_url(clone, settings, options) == f"https://h/{winner}/r.git"


def test_without_any_setting_origin_tells_the_repo(clone: Clone) -> None:
    assert infer_repo_url(clone, SETTINGS, PullOptions()) == ORIGIN_URL


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({}, {"repo": f"https://u:{SECRET}@h/o/r"}, id="--repo"),
        pytest.param(
            {"git_remote": f"https://u:{SECRET}@h/o/r"}, {}, id="exp.git_remote"
        ),
        pytest.param({"repo_url": f"https://{SECRET}@h/o/r"}, {}, id="studio.repo_url"),
    ],
)
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_no_password_is_told(
    clone: Clone, settings: dict[str, str], options: dict[str, str], where: str
) -> None:
    here = clone if where == "inside" else None
    told = infer_repo_url(here, replace(SETTINGS, **settings), PullOptions(**options))

    assert told == "https://h/o/r"


def test_an_empty_git_remote_of_a_script_is_not_taken_for_none(clone: Clone) -> None:
    settings = replace(SETTINGS, repo_url="o/r")

    with pytest.raises(GitRemoteError, match="no Git remote ''"):
        infer_repo_url(clone, settings, PullOptions(git_remote=""))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("../project/models.git", id="relative"),
        pytest.param("file:///srv/models.git", id="file-url"),
    ],
)
def test_a_folder_of_this_machine_is_refused(
    project: Project, clone: Clone, url: str
) -> None:
    git(project.repo, "remote", "set-url", "origin", url)

    with pytest.raises(GitRemoteError, match="is a folder on this machine") as caught:
        infer_repo_url(clone, SETTINGS, PullOptions())

    assert caught.value.exit_code == 251


def test_a_studio_on_this_machine_may_know_its_folders(
    project: Project, clone: Clone
) -> None:
    git(project.repo, "remote", "set-url", "origin", "../models.git")
    settings = replace(SETTINGS, url="http://127.0.0.1:8501")

    assert infer_repo_url(clone, settings, PullOptions()) == str(project.bare.resolve())


# -- which repo, outside of Git


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"repo_url": "o/r"}, "o/r", id="studio.repo_url"),
        pytest.param({"git_remote": "git@h:o/r"}, "git@h:o/r", id="exp.git_remote"),
        pytest.param(
            {"git_remote": "git@h:o/r", "repo_url": "o/x"}, "git@h:o/r", id="both"
        ),
        pytest.param(
            {"git_remote": "origin", "repo_url": "o/r"}, "o/r", id="a-remotes-name"
        ),
    ],
)
def test_outside_git_a_url_of_the_settings_counts(
    settings: dict[str, str], expected: str
) -> None:
    assert expected == infer_repo_url(
        None, replace(SETTINGS, **settings), PullOptions()
    )


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({}, {}, id="nothing-set"),
        pytest.param({"git_remote": "origin"}, {}, id="a-remotes-name"),
        pytest.param({"repo_url": "o/r"}, {"git_remote": "origin"}, id="--git-remote"),
    ],
)
def test_outside_git_without_a_url_the_error_says_so(
    settings: dict[str, str], options: dict[str, str]
) -> None:
    with pytest.raises(GitRemoteError, match=r"not a Git repository\n.*--repo URL"):
        infer_repo_url(None, replace(SETTINGS, **settings), PullOptions(**options))


# -- may Studio be asked


def context_of(**settings: object) -> PullContext:
    changed = replace(SETTINGS, **settings)  # type: ignore[arg-type]
    return PullContext(Path.cwd(), None, changed, PullOptions())


def test_offline_forbids_to_ask() -> None:
    context = context_of(offline=True, token=PLANTED_TOKEN)

    with pytest.raises(StudioOfflineError, match="DVC_STUDIO_OFFLINE"):
        connect(context)


def test_without_a_token_nobody_is_asked() -> None:
    with pytest.raises(TokenMissingError):
        connect(context_of())


def test_the_settings_say_whom_to_ask() -> None:
    with contextlib.closing(context_of(token=PLANTED_TOKEN)) as context:
        assert context.connect().url == HOSTED


# -- a model of one file


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        pytest.param(V1, "v1.0.0", id="version"),
        pytest.param(PROD, "v2.0.0", id="stage"),
        pytest.param(LATEST, "v2.0.0", id="latest"),
    ],
)
def test_content_that_git_recorded_is_anchored(
    project: Project, clone: Clone, ref: ModelRef, version: str
) -> None:
    anchored = verify(churn(ref, version), clone)

    assert anchored.version == known(project, version)
    assert anchored.record is not None
    assert anchored.record.digest == md5(CHURN[version])


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        pytest.param(V1, "v1.0.0", id="version"),
        pytest.param(PROD, "v2.0.0", id="stage"),
    ],
)
def test_git_tells_the_size_of_a_single_file(
    clone: Clone, ref: ModelRef, version: str
) -> None:
    anchored = verify(churn(ref, version), clone)

    assert [file.size for file in anchored.files] == [len(CHURN[version])]


def test_a_link_keeps_its_bytes_when_it_is_anchored(clone: Clone) -> None:
    answer = churn(V1, "v1.0.0")

    assert verify(answer, clone).files[0].url == answer.files[0].url


def test_the_layout_of_dvc_2_is_anchored_too(clone: Clone) -> None:
    answer = answer_of(V1, file_of(PATH, CHURN["v1.0.0"], dvc2=True))

    assert verify(answer, clone).record


def test_a_version_with_another_hash_in_git_is_refused(clone: Clone) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify(churn(V1, "v2.0.0"), clone)
    old, new = md5(CHURN["v1.0.0"]).value, md5(CHURN["v2.0.0"]).value

    assert str(caught.value).startswith(
        f"'{PATH}' does not have the expected content: Git, at churn@v1.0.0, "
        f"says md5 {old}, got {new}\n"
    )
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "ref", [pytest.param(PROD, id="stage"), pytest.param(LATEST, id="latest")]
)
class TestLaggingTags:
    """Studio serves what the local tags do not know yet, or no more."""

    def test_the_answer_stays_as_studio_gave_it(
        self, clone: Clone, ref: ModelRef
    ) -> None:
        answer = churn(ref, "v1.0.0")

        assert verify(answer, clone) == answer

    def test_a_warning_says_what_to_do(
        self, clone: Clone, ref: ModelRef, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="dvc"):
            verify(churn(ref, "v1.0.0"), clone)

        expected = (
            f"local tags say '{ref}' is v2.0.0, but Studio serves different content, "
            "so it cannot be verified against Git. Run 'git fetch --prune "
            "--prune-tags --force --tags' to verify it"
        )

        assert caplog.messages == [expected]

    def test_files_may_lie_elsewhere_by_now(self, clone: Clone, ref: ModelRef) -> None:
        answer = answer_of(ref, file_of("new/churn.pkl", CHURN["v2.0.0"]))

        assert verify(answer, clone) == answer


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(ModelRef("churn", version="v9.0.0"), id="version"),
        pytest.param(ModelRef("churn", stage="staging"), id="stage"),
        pytest.param(ModelRef("other"), id="name"),
    ],
)
def test_what_no_tag_knows_stays_unanchored_without_a_word(
    clone: Clone, caplog: pytest.LogCaptureFixture, ref: ModelRef
) -> None:
    answer = churn(ref, "v1.0.0")
    with caplog.at_level(logging.WARNING, logger="dvc"):
        anchored = verify(answer, clone)

    assert (anchored, caplog.messages) == (answer, [])


def test_a_clone_without_tags_anchors_nothing(project: Project, tmp_path: Path) -> None:
    folder = project.clone(tmp_path / "clone")
    git(folder, "tag", "--delete", *git(folder, "tag").split())
    answer = churn(V1, "v1.0.0")
    clone = Clone.find(folder)

    assert verify(answer, clone) == answer


def test_a_deregistered_version_anchors_nothing(project: Project, clone: Clone) -> None:
    project.tag("churn@v1.0.0!", "churn@v1.0.0")
    answer = churn(V1, "v1.0.0")

    assert verify(answer, clone) == answer


def test_a_version_that_git_has_without_dvc_is_named_but_not_anchored(
    project: Project, clone: Clone
) -> None:
    dvc_yaml = b"artifacts:\n  small:\n    path: small.bin\n    type: model\n"
    write(project.repo, {"small/dvc.yaml": dvc_yaml, "small/small.bin": b"x"})
    commit_all(project, "Keep a model in Git")
    project.tag("small=small@v1.0.0")
    ref = ModelRef("small:small", version="v1.0.0")
    anchored = verify(answer_of(ref, file_of("small/small.bin", b"x")), clone)

    assert (anchored.version, anchored.record) == (
        known(project, "v1.0.0", "small=small"),
        None,
    )


def test_a_model_of_a_folder_is_anchored(project: Project, clone: Clone) -> None:
    ref = ModelRef("services/fraud:fraud", version="v1.0.0")
    answer = answer_of(ref, file_of("services/fraud/model.bin", FRAUD))
    anchored = verify(answer, clone)

    assert anchored.version == known(project, "v1.0.0", "services/fraud=fraud")


def test_what_was_read_once_is_read_from_the_cache(
    clone: Clone, tmp_path: Path
) -> None:
    cache = tmp_path / "registry.json"
    first = verify(churn(V1, "v1.0.0"), clone, cache)
    size = f'"size": {len(CHURN["v1.0.0"])}'
    cache.write_text(cache.read_text().replace(size, '"size": 77'))
    second = verify(replace(first, version=None, record=None), clone, cache)

    assert first.record
    assert second.record
    assert (first.record.size, second.record.size) == (len(CHURN["v1.0.0"]), 77)
    assert second.version == first.version


# -- a model of many files


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(BERT_V1, id="version"),
        pytest.param(ModelRef("bert"), id="latest"),
    ],
)
def test_a_directory_is_anchored_by_its_dir_hash(clone: Clone, ref: ModelRef) -> None:
    version = ref.version or "v2.0.0"
    anchored = verify(bert(ref, BERT[version]), clone)

    assert anchored.version is not None
    assert anchored.version.version == version
    assert anchored.record is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"vocab.txt": None}, id="a-file-is-missing"),
        pytest.param({"more.txt": b""}, id="a-file-too-many"),
        pytest.param({"config.json": b"{}"}, id="a-file-has-other-content"),
        pytest.param(
            {"vocab.txt": None, "vocab2.txt": BERT["v1.0.0"]["vocab.txt"]}, id="name"
        ),
    ],
)
def test_a_directory_that_is_not_what_git_recorded_is_refused(
    clone: Clone, change: dict[str, bytes | None]
) -> None:
    files = {**BERT["v1.0.0"], **change}
    answer = bert(BERT_V1, {p: c for p, c in files.items() if c is not None})

    with pytest.raises(IntegrityError, match=r"says md5 \w{32}\.dir, got \w{32}\.dir"):
        verify(answer, clone)


def test_a_directory_that_moved_on_stays_unanchored(clone: Clone) -> None:
    answer = bert(ModelRef("bert"), BERT["v1.0.0"])

    assert verify(answer, clone) == answer


@pytest.mark.parametrize(
    ("folder", "more"),
    [
        pytest.param("models/tree", [], id="all-elsewhere"),
        pytest.param("models/bert", ["src/app.py"], id="one-too-many"),
    ],
)
def test_git_vouches_for_no_file_outside_the_models_own_path(
    clone: Clone, folder: str, more: list[str]
) -> None:
    files = [file_of(f"{folder}/{p}", c) for p, c in BERT["v2.0.0"].items()]
    answer = answer_of(ModelRef("bert"), *files, *(file_of(p, b"") for p in more))

    assert verify(answer, clone) == answer


@pytest.mark.reliability("Paths in a reply")
def test_a_version_with_files_elsewhere_is_refused_with_all_of_them(
    clone: Clone,
) -> None:
    strays = [file_of("models/bertha/a", b"a"), file_of("src/app.py", b"b")]
    answer = bert(BERT_V1, BERT["v1.0.0"])
    answer = replace(answer, files=(*answer.files, *strays))

    with pytest.raises(
        UnsafePathError, match="the model's path 'models/bert'"
    ) as caught:
        verify(answer, clone)

    assert [path for path, _ in caught.value.problems] == [f.path for f in strays]
    assert caught.value.exit_code == 7


def test_a_version_is_confined_to_its_path_also_where_git_has_no_hash(
    project: Project, clone: Clone
) -> None:
    dvc_yaml = b"artifacts:\n  small:\n    path: small.bin\n    type: model\n"
    write(project.repo, {"small/dvc.yaml": dvc_yaml, "small/small.bin": b"x"})
    commit_all(project, "Keep a model in Git")
    project.tag("small=small@v1.0.0")
    ref = ModelRef("small:small", version="v1.0.0")

    with pytest.raises(UnsafePathError):
        verify(answer_of(ref, file_of("small/x.bin", b"x")), clone)


# -- links that tell no hash


def test_a_version_takes_its_missing_hash_and_size_from_git(
    project: Project, clone: Clone
) -> None:
    anchored = verify(answer_of(V1, plain(PATH)), clone)
    content = CHURN["v1.0.0"]

    assert [(file.digest, file.size) for file in anchored.files] == [
        (md5(content), len(content))
    ]
    assert anchored.version == known(project, "v1.0.0")


def test_a_stage_takes_no_hash_of_tags_that_may_lag(clone: Clone) -> None:
    anchored = verify(answer_of(PROD, plain(PATH)), clone)

    assert (anchored.files[0].digest, anchored.record) == (None, None)


@pytest.mark.parametrize("hashless", ["all", "one"])
def test_a_directory_without_hashes_is_not_anchored_yet(
    project: Project, clone: Clone, hashless: str
) -> None:
    answer = bert(BERT_V1, BERT["v1.0.0"])
    files = [
        plain(file.path) if hashless == "all" or not at else file
        for at, file in enumerate(answer.files)
    ]
    anchored = verify(answer_of(BERT_V1, *files), clone)

    assert anchored.record is None
    assert anchored.version == known(project, "v1.0.0", "bert")


def unverified(clone: Clone, ref: ModelRef) -> tuple[ResolvedModel, dict[str, Digest]]:
    """Give a directory of hashless links, and the hashes that a download brings."""
    files = BERT["v1.0.0"]
    links = [plain(f"models/bert/{path}") for path in files]
    digests = {f"models/bert/{path}": md5(content) for path, content in files.items()}
    return verify(answer_of(ref, *links), clone), digests


def test_after_the_download_git_vouches_for_a_directory(clone: Clone) -> None:
    answer, digests = unverified(clone, BERT_V1)
    proved = verify_downloads(answer, digests, clone)

    assert proved.record is not None
    assert proved.unverified is None


def test_after_the_download_a_version_with_other_content_is_refused(
    clone: Clone,
) -> None:
    answer, digests = unverified(clone, BERT_V1)

    with pytest.raises(IntegrityError):
        verify_downloads(
            answer, {**digests, "models/bert/config.json": md5(b"{}")}, clone
        )


def test_after_the_download_other_content_of_the_latest_is_only_told(
    clone: Clone, caplog: pytest.LogCaptureFixture
) -> None:
    answer, digests = unverified(clone, ModelRef("bert"))
    with caplog.at_level(logging.WARNING, logger="dvc"):
        proved = verify_downloads(answer, digests, clone)

    assert (proved.version, proved.record, proved.unverified) == (None, None, None)
    assert "git fetch --prune --prune-tags --force --tags" in caplog.text


def test_after_the_download_a_stage_of_one_file_is_proved(
    project: Project, clone: Clone
) -> None:
    answer = verify(answer_of(PROD, plain(PATH)), clone)
    proved = verify_downloads(answer, {PATH: md5(CHURN["v2.0.0"])}, clone)

    assert proved.version == known(project, "v2.0.0")


def test_what_is_anchored_needs_no_proof(clone: Clone) -> None:
    anchored = verify(churn(V1, "v1.0.0"), clone)

    assert verify_downloads(anchored, {PATH: md5(b"other")}, clone) is anchored


# -- new links


@pytest.fixture
def client(studio: StudioServer) -> Iterator[StudioClient]:
    context = context_of(url=studio.url, token=studio.token)
    with contextlib.closing(context):
        yield connect(context)


def serve(studio: StudioServer, files: Mapping[str, bytes]) -> None:
    """Serve ``files`` as churn, signed anew for every request."""
    paths = {name: object_path(content) for name, content in files.items()}
    studio.serve(
        "churn", lambda: {name: signed(f"https://h{p}") for name, p in paths.items()}
    )


def asked(client: StudioClient, ref: ModelRef = LATEST) -> ResolvedModel:
    return ResolvedModel(ref, client.files(ORIGIN_URL, ref))


def test_renewed_links_are_new_ones_to_the_same_content(
    studio: StudioServer, client: StudioClient
) -> None:
    serve(studio, {"a": b"a", "b": b"b"})
    answer = asked(client)
    renewed = make_renewal(client, ORIGIN_URL, [answer])()
    old = {file.path: file.url for file in answer.files}

    assert renewed.keys() == old.keys()
    assert not set(renewed.values()) & set(old.values())
    assert {Digest.from_url(url) for url in renewed.values()} == {
        Digest.from_url(url) for url in old.values()
    }


def test_the_links_of_all_models_are_renewed(
    studio: StudioServer, client: StudioClient
) -> None:
    serve(studio, {"a": b"a"})
    studio.serve("bert", {"b": f"https://h{object_path(b'b')}"})
    answers = [asked(client), asked(client, ModelRef("bert"))]

    assert make_renewal(client, ORIGIN_URL, answers)().keys() == {"a", "b"}


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param({"a": b"x", "b": b"b"}, id="other-content"),
        pytest.param({"a": b"a"}, id="a-file-less"),
        pytest.param({"a": b"a", "b": b"b", "c": b"c"}, id="a-file-more"),
        pytest.param({"a": b"b", "b": b"a"}, id="exchanged"),
    ],
)
def test_links_to_other_content_are_refused(
    studio: StudioServer, client: StudioClient, moved: dict[str, bytes]
) -> None:
    serve(studio, {"a": b"a", "b": b"b"})
    renew = make_renewal(client, ORIGIN_URL, [asked(client)])
    serve(studio, moved)

    with pytest.raises(ModelMovedError, match="'churn' moved") as caught:
        renew()

    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a?versionId=1&sig=x", "a?versionId=1&sig=y", id="s3"),
        pytest.param("a?sig=x&versionid=1", "a?versionid=1&sig=y", id="azure"),
        pytest.param("a?sig=x", "a?sig=y", id="without-versions"),
    ],
)
def test_links_without_hashes_are_renewed_for_the_same_object(
    studio: StudioServer, client: StudioClient, before: str, after: str
) -> None:
    studio.serve("churn", {"a": f"https://h/{before}"})
    renew = make_renewal(client, ORIGIN_URL, [asked(client)])
    studio.serve("churn", {"a": f"https://h/{after}"})

    assert renew() == {"a": f"https://h/{after}"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a?versionId=1", "a?versionId=2", id="s3"),
        pytest.param("a?versionid=1", "a?versionid=2", id="azure"),
        pytest.param("a?generation=1", "a?generation=2", id="google"),
        pytest.param("a?versionId=1", "a", id="version-gone"),
        pytest.param("a", "b", id="path"),
    ],
)
def test_links_without_hashes_to_another_object_are_refused(
    studio: StudioServer, client: StudioClient, before: str, after: str
) -> None:
    studio.serve("churn", {"a": f"https://h/{before}"})
    renew = make_renewal(client, ORIGIN_URL, [asked(client)])
    studio.serve("churn", {"a": f"https://h/{after}"})

    with pytest.raises(ModelMovedError):
        renew()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("h/a?versionId=1", "h/a?versionId=2", id="version"),
        pytest.param("h/a?versionId=1", "h/b?versionId=1", id="path"),
        pytest.param("h/a?versionId=1", "i/a?versionId=1", id="host"),
        pytest.param("h/a?generation=1", "h/a?snapshot=1", id="kind"),
    ],
)
def test_an_object_is_named_by_its_version_where_it_is(one: str, other: str) -> None:
    again = f"https://user:secret@{one}&X-Amz-Signature=secret"

    assert object_version_id(f"https://{one}") == object_version_id(again)
    assert object_version_id(f"https://{one}") != object_version_id(f"https://{other}")


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("a?sig=x", id="no version"),
        pytest.param("a?versionId=null", id="a version that is replaced"),
        pytest.param(f"files/md5/aa/{'a' * 30}?versionId=1", id="a hash"),
    ],
)
def test_an_object_that_may_change_or_has_a_hash_is_not_named(link: str) -> None:
    assert object_version_id(f"https://h/{link}") is None


def test_a_hash_from_git_does_not_hinder_a_renewal(
    clone: Clone, studio: StudioServer, client: StudioClient
) -> None:
    studio.serve("churn", {PATH: f"https://h/{PATH}"}, version="v1.0.0")
    answer = verify(asked(client, V1), clone)

    assert make_renewal(client, ORIGIN_URL, [answer])().keys() == {PATH}
