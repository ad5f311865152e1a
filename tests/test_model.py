"""Names of models as users type them, and the hashes in signed URLs."""

from __future__ import annotations

import pytest
from servers import PLANTED_TOKEN, object_path, signed

from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import Digest, ModelFile, ModelRef, PullOptions
from dvc_studio_models.sources.settings import Settings

HASH = "86bd02376ac675568ba2fac566169ef9"
DVC3 = f"files/md5/{HASH[:2]}/{HASH[2:]}"
DVC2 = f"{HASH[:2]}/{HASH[2:]}"


# -- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("churn", ModelRef("churn"), id="bare"),
        pytest.param("c", ModelRef("c"), id="one-letter"),
        pytest.param("my/churn_2-x", ModelRef("my/churn_2-x"), id="all-characters"),
        pytest.param("churn@v1.2.0", ModelRef("churn", version="v1.2.0"), id="version"),
        pytest.param(
            "churn@1.2.0", ModelRef("churn", version="v1.2.0"), id="without-v"
        ),
        pytest.param(
            "churn@v1.2.0-rc.1+b.5",
            ModelRef("churn", version="v1.2.0-rc.1+b.5"),
            id="prerelease-and-build",
        ),
        pytest.param("churn@latest", ModelRef("churn"), id="latest"),
        pytest.param("churn@greatest", ModelRef("churn"), id="greatest"),
        pytest.param("churn#prod", ModelRef("churn", stage="prod"), id="stage"),
        pytest.param("sub:churn", ModelRef("sub:churn"), id="folder"),
        pytest.param("a/b.c:churn", ModelRef("a/b.c:churn"), id="deep-folder"),
        pytest.param("a/dvc.yaml:churn", ModelRef("a:churn"), id="dvc.yaml"),
        pytest.param(
            "a/dvc.yaml:churn#prod",
            ModelRef("a:churn", stage="prod"),
            id="dvc.yaml-and-stage",
        ),
        pytest.param("dvc.yaml:churn", ModelRef("churn"), id="dvc.yaml-of-the-root"),
        pytest.param("./dvc.yaml:churn", ModelRef("churn"), id="dvc.yaml-of-here"),
        pytest.param(".:churn", ModelRef("churn"), id="dot"),
        pytest.param("./a//b/:churn", ModelRef("a/b:churn"), id="untidy-folder"),
        pytest.param(
            "mydvc.yaml:churn", ModelRef("mydvc.yaml:churn"), id="not-dvc.yaml"
        ),
    ],
)
def test_a_name_is_read_as_gto_and_dvc_spell_it(text: str, expected: ModelRef) -> None:
    assert expected == ModelRef.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("-churn", id="leading-hyphen"),
        pytest.param("churn/", id="trailing-slash"),
        pytest.param("chürn", id="non-ascii"),
        pytest.param("churn model", id="space"),
        pytest.param("churn\n", id="newline"),
        pytest.param("churn.pkl", id="dot"),
        pytest.param("churn@", id="no-version"),
        pytest.param("churn#", id="no-stage"),
        pytest.param("churn@v1", id="half-a-version"),
        pytest.param("churn@v01.2.3", id="leading-zero"),
        pytest.param("churn@v\u0661.\u0662.\u0663", id="digits-of-another-script"),
        pytest.param("churn@prod", id="stage-as-version"),
        pytest.param("churn@v1.0.0#prod", id="version-and-stage"),
        pytest.param("churn#prod#3", id="counter-of-a-tag"),
        pytest.param("a:b:churn", id="two-colons"),
        pytest.param(":churn", id="no-folder"),
        pytest.param("../a:churn", id="folder-outside"),
        pytest.param("a/../..:churn", id="folder-outside-after-all"),
        pytest.param("/a:churn", id="absolute-folder"),
        pytest.param("a b:churn", id="space-in-folder"),
        pytest.param("a\nb:churn", id="newline-in-folder"),
    ],
)
def test_what_gto_could_not_register_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="not a model's name") as caught:
        ModelRef.parse(text)

    assert caught.value.exit_code == 254


def test_a_refused_name_is_shown_escaped() -> None:
    with pytest.raises(UsageError) as caught:
        ModelRef.parse("churn\x1b[2J")

    assert "'churn\\x1b[2J'" in str(caught.value)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("v1.2.0", "v1.2.0", id="with-v"),
        pytest.param("1.2.0", "v1.2.0", id="without-v"),
        pytest.param("latest", None, id="latest"),
        pytest.param("greatest", None, id="greatest"),
    ],
)
def test_a_version_option_holds_for_a_bare_name(
    version: str, expected: str | None
) -> None:
    assert expected == ModelRef.parse("churn", version=version).version


def test_a_stage_option_holds_for_a_bare_name() -> None:
    assert ModelRef("churn", stage="prod") == ModelRef.parse("churn", stage="prod")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("churn@v1.0.0", ModelRef("churn", version="v1.0.0"), id="version"),
        pytest.param("churn@latest", ModelRef("churn"), id="latest"),
        pytest.param("churn#prod", ModelRef("churn", stage="prod"), id="stage"),
    ],
)
@pytest.mark.parametrize(
    "option",
    [
        pytest.param({"stage": "dev"}, id="stage-option"),
        pytest.param({"version": "v9.0.0"}, id="version-option"),
    ],
)
def test_a_name_with_a_selector_of_its_own_ignores_the_options(
    text: str, expected: ModelRef, option: dict[str, str]
) -> None:
    assert expected == ModelRef.parse(text, **option)


def test_a_version_and_a_stage_cannot_be_combined() -> None:
    with pytest.raises(UsageError, match="cannot be combined"):
        ModelRef.parse("churn", version="v1.0.0", stage="prod")


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("", id="empty-variable-of-a-script"),
        pytest.param("v1.2", id="half"),
        pytest.param("main", id="branch"),
        pytest.param(" v1.2.0", id="space"),
        pytest.param("v1.2.0\n", id="newline"),
    ],
)
def test_a_version_option_that_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="not a version"):
        ModelRef.parse("churn", version=version)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("", id="empty-variable-of-a-script"),
        pytest.param("pr od", id="space"),
        pytest.param("prod#1", id="counter"),
        pytest.param("prod\n", id="newline"),
    ],
)
def test_a_stage_option_that_is_no_stage_is_refused(stage: str) -> None:
    with pytest.raises(UsageError, match="not the name of a stage"):
        ModelRef.parse("churn", stage=stage)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("churn", id="bare"),
        pytest.param("a/b:churn", id="folder"),
        pytest.param("churn@v1.0.0", id="version"),
        pytest.param("a:churn#prod", id="stage"),
    ],
)
def test_a_reference_is_shown_as_gto_spells_it(text: str) -> None:
    assert text == str(ModelRef.parse(text))


@pytest.mark.parametrize(
    ("name", "folder"),
    [pytest.param("churn", "", id="root"), pytest.param("a/b:churn", "a/b", id="deep")],
)
def test_the_folder_is_that_of_the_dvc_yaml(name: str, folder: str) -> None:
    assert folder == ModelRef(name).folder


# -- hashes in URLs


@pytest.mark.parametrize(
    ("url", "algorithm"),
    [
        pytest.param(f"https://b.s3.amazonaws.com/{DVC3}", "md5", id="dvc3"),
        pytest.param(
            f"https://h/bucket/pre/fix/{DVC3}?X-Amz-Date=1", "md5", id="query"
        ),
        pytest.param(f"http://h:9000/b/{DVC3}", "md5", id="port"),
        pytest.param(f"https://user:pw@h/{DVC3}", "md5", id="userinfo"),
        pytest.param(f"http://[::1]:9000/{DVC3}?a=/x/y", "md5", id="ipv6"),
        pytest.param(f"https://h/{DVC3}#part", "md5", id="fragment"),
        pytest.param(f"https://h/ab/{HASH[2:]}/{DVC3}", "md5", id="hash-in-the-prefix"),
        pytest.param(f"https://h/{DVC2}?sig=1", "md5-dos2unix", id="dvc2"),
        pytest.param(f"https://h/b/p/{DVC2}", "md5-dos2unix", id="dvc2-prefix"),
    ],
)
def test_the_hash_is_read_from_the_path_of_an_object(url: str, algorithm: str) -> None:
    assert Digest(algorithm, HASH) == Digest.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://h/models/churn.pkl?versionId=abc", id="cloud-versioned"),
        pytest.param(f"https://h/x?object=/{DVC3}", id="only-in-the-query"),
        pytest.param(f"https://h/x#/{DVC3}", id="only-in-the-fragment"),
        pytest.param(f"https://h/{DVC3}/x", id="not-at-the-end"),
        pytest.param(f"https://h/{DVC3}.dir", id="list-of-a-directory"),
        pytest.param(f"https://h/{DVC3}0", id="too-long"),
        pytest.param(f"https://h/{DVC3[:-1]}", id="too-short"),
        pytest.param(f"https://h/{DVC3.upper()}", id="upper-case"),
        pytest.param(f"https://h/files/md5/{HASH}", id="unsplit"),
        pytest.param("https://h", id="no-path"),
    ],
)
def test_a_path_that_is_no_object_id_tells_no_hash(url: str) -> None:
    assert Digest.from_url(url) is None


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        *(("md5", value) for value in ("", "ab", "../../config", f"{HASH}\n")),
        *(("md5", value) for value in (HASH[:-1], f"{HASH}0", HASH.upper())),
        *(("md5", value) for value in (f"../{HASH[3:]}", f"{HASH}.dirt")),
        *((algorithm, HASH) for algorithm in ("", "sha256", "MD5")),
    ],
)
def test_what_names_no_content_is_no_digest(algorithm: str, value: str) -> None:
    with pytest.raises(ValueError, match="is not a valid hash"):
        Digest(algorithm, value)


@pytest.mark.parametrize("style", ["s3", "azure"])
def test_the_hash_of_a_signed_link_is_that_of_the_content(style: str) -> None:
    url = signed(f"https://h{object_path(b'content')}", style=style)  # type: ignore[arg-type]

    assert Digest("md5", "9a0364b9e99bb480dd25e1f0284c8555") == Digest.from_url(url)


# -- secrets


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ModelFile("a", f"https://h/a?sig={PLANTED_TOKEN}"), id="file"),
        pytest.param(PullOptions(token=PLANTED_TOKEN), id="options-token"),
        pytest.param(PullOptions(url=f"https://{PLANTED_TOKEN}@h"), id="options-url"),
        pytest.param(
            PullOptions(repo=f"https://{PLANTED_TOKEN}@h/r"), id="options-repo"
        ),
        pytest.param(
            Settings(
                "https://h",
                PLANTED_TOKEN,
                offline=False,
                repo_url=None,
                git_remote=None,
            ),
            id="settings-token",
        ),
        pytest.param(
            Settings(
                "https://h",
                None,
                offline=False,
                repo_url=f"https://u:{PLANTED_TOKEN}@h/r",
                git_remote=None,
            ),
            id="settings-repo",
        ),
        pytest.param(
            Settings(
                "https://h",
                None,
                offline=False,
                repo_url=None,
                git_remote=f"https://u:{PLANTED_TOKEN}@h/r",
            ),
            id="settings-remote",
        ),
    ],
)
def test_no_value_shows_its_secrets(value: object) -> None:
    assert PLANTED_TOKEN not in repr(value)
