"""Settings, from real config files of DVC on all four levels."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from dvc_studio_client.config import get_studio_config
from environments import DVC
from servers import PLANTED_TOKEN

from dvc_studio_models.errors import StudioConfigError, TokenMissingError
from dvc_studio_models.sources.settings import DEFAULT_URL, Settings, load_settings

URLS = {
    "system": "https://system.example.com",
    "global": "https://global.example.com",
    "repo": "https://repo.example.com",
    "local": "https://local.example.com",
}


class Configs:
    """A DVC project, with a config file on each level."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir(parents=True)
        self.files = {
            "system": Path(os.environ["DVC_SYSTEM_CONFIG_DIR"]) / "config",
            "global": Path(os.environ["DVC_GLOBAL_CONFIG_DIR"]) / "config",
            "repo": root / ".dvc" / "config",
            "local": root / ".dvc" / "config.local",
        }

    def write(self, level: str, text: str) -> None:
        self.files[level].parent.mkdir(parents=True, exist_ok=True)
        self.files[level].write_text(text)

    def set(self, level: str, section: str, **options: str) -> None:
        lines = [f"[{section}]", *(f"{name} = {v}" for name, v in options.items())]
        self.write(level, "\n".join([*lines, ""]))


@pytest.fixture
def configs(tmp_path: Path) -> Configs:
    return Configs(tmp_path / "project")


def load(configs: Configs, **environ: str) -> Settings:
    return load_settings(configs.root, environ=environ)


# -- where a setting comes from


def test_without_any_setting_studio_is_the_hosted_one(configs: Configs) -> None:
    expected = Settings(
        url="https://studio.datachain.ai",
        token=None,
        offline=False,
        repo_url=None,
        git_remote=None,
    )

    assert expected == load(configs)


@pytest.mark.parametrize(
    ("level", "hidden"),
    [
        pytest.param("system", [], id="system"),
        pytest.param("global", ["system"], id="global-over-system"),
        pytest.param("repo", ["system", "global"], id="repo-over-global"),
        pytest.param("local", ["system", "global", "repo"], id="local-over-repo"),
    ],
)
def test_the_nearest_level_of_the_config_wins(
    configs: Configs, level: str, hidden: list[str]
) -> None:
    for each in [*hidden, level]:
        configs.set(each, "studio", url=URLS[each])

    assert URLS[level] == load(configs).url


def test_levels_complete_each_other(configs: Configs) -> None:
    configs.set("global", "studio", token="from-global")
    configs.set("repo", "studio", url=URLS["repo"])
    configs.set("local", "exp", git_remote="upstream")

    settings = load(configs)

    assert ("from-global", URLS["repo"], "upstream") == (
        settings.token,
        settings.url,
        settings.git_remote,
    )


def test_what_dvc_itself_has_written_is_read(configs: Configs) -> None:
    command = [DVC, "config", "--local", "studio.token", PLANTED_TOKEN]
    subprocess.run(command, cwd=configs.root, check=True, capture_output=True)

    assert load(configs).token == PLANTED_TOKEN


def test_the_config_counts_in_a_folder_of_the_project(configs: Configs) -> None:
    configs.set("local", "studio", url=URLS["local"])
    folder = configs.root / "deep" / "down"
    folder.mkdir(parents=True)

    assert URLS["local"] == load_settings(folder, environ={}).url


def test_the_levels_of_the_user_count_outside_any_project(
    configs: Configs, tmp_path: Path
) -> None:
    configs.set("global", "studio", url=URLS["global"])

    assert URLS["global"] == load_settings(tmp_path, environ={}).url


def test_a_folder_that_does_not_exist_has_no_project(configs: Configs) -> None:
    settings = load_settings(configs.root.parent / "nowhere", environ={})

    assert settings.url == DEFAULT_URL


@pytest.mark.parametrize(
    ("section", "option", "variable", "field", "value", "other"),
    [
        pytest.param(
            *(
                "studio",
                "token",
                "DVC_STUDIO_TOKEN",
                "token",
                "from-env",
                "from-config",
            ),
            id="token",
        ),
        pytest.param(
            *("studio", "token", "STUDIO_TOKEN", "token", "from-env", "from-config"),
            id="token-second-name",
        ),
        pytest.param(
            *(
                "studio",
                "url",
                "DVC_STUDIO_URL",
                "url",
                "https://env",
                "https://config",
            ),
            id="url",
        ),
        pytest.param(
            *("studio", "repo_url", "DVC_STUDIO_REPO_URL", "repo_url", "o/r", "o/x"),
            id="repo",
        ),
        pytest.param(
            *("studio", "repo_url", "STUDIO_REPO_URL", "repo_url", "o/r", "o/x"),
            id="repo-second-name",
        ),
        pytest.param(
            *(
                "exp",
                "git_remote",
                "DVC_EXP_GIT_REMOTE",
                "git_remote",
                "fork",
                "origin",
            ),
            id="git-remote",
        ),
    ],
)
class TestEnvironment:
    def test_it_wins_over_the_config(
        self,
        configs: Configs,
        section: str,
        option: str,
        variable: str,
        field: str,
        value: str,
        other: str,
    ) -> None:
        configs.set("local", section, **{option: other})

        assert value == getattr(load(configs, **{variable: value}), field)

    def test_an_empty_variable_counts_as_none(
        self,
        configs: Configs,
        section: str,
        option: str,
        variable: str,
        field: str,
        value: str,
        other: str,
    ) -> None:
        del value
        configs.set("local", section, **{option: other})

        assert other == getattr(load(configs, **{variable: ""}), field)


@pytest.mark.parametrize(
    ("field", "first", "second"),
    [
        pytest.param("token", "DVC_STUDIO_TOKEN", "STUDIO_TOKEN", id="token"),
        pytest.param("repo_url", "DVC_STUDIO_REPO_URL", "STUDIO_REPO_URL", id="repo"),
    ],
)
def test_dvcs_own_name_of_a_variable_wins(
    configs: Configs, field: str, first: str, second: str
) -> None:
    settings = load(configs, **{second: "second", first: "first"})

    assert getattr(settings, field) == "first"


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        pytest.param("token", "DVC_STUDIO_TOKEN", "from-argument", id="token"),
        pytest.param("url", "DVC_STUDIO_URL", "https://argument", id="url"),
    ],
)
def test_an_argument_wins_over_the_environment(
    configs: Configs, name: str, variable: str, value: str
) -> None:
    environ = {variable: "https://environment"}
    settings = load_settings(configs.root, environ=environ, **{name: value})  # type: ignore[arg-type]

    assert value == getattr(settings, name)


def test_the_process_environment_is_the_default(
    configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STUDIO_TOKEN", "from-process")

    assert load_settings(configs.root).token == "from-process"


# -- offline


@pytest.mark.parametrize("by", ["environment", "config"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("True", True, id="capital"),
        pytest.param("TRUE", True, id="upper"),
        pytest.param("false", False, id="false"),
        pytest.param("False", False, id="capital-false"),
    ],
)
def test_offline_is_what_dvc_takes_for_a_boolean(
    configs: Configs, by: str, text: str, expected: bool
) -> None:
    environ = {"DVC_STUDIO_OFFLINE": text} if by == "environment" else {}
    if by == "config":
        configs.set("repo", "studio", offline=text)

    assert expected is load(configs, **environ).offline


def test_offline_can_be_lifted_by_the_environment(configs: Configs) -> None:
    configs.set("repo", "studio", offline="true")

    assert load(configs, DVC_STUDIO_OFFLINE="false").offline is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1", True, id="1"),
        pytest.param("y", True, id="y"),
        pytest.param("Yes", True, id="yes"),
        pytest.param("0", False, id="0"),
        pytest.param("N", False, id="n"),
        pytest.param("no", False, id="no"),
    ],
)
def test_the_variable_means_what_it_means_to_dvcs_client(
    configs: Configs, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    configs.set("repo", "studio", offline=str(not expected))
    monkeypatch.setenv("DVC_STUDIO_OFFLINE", text)
    to_client = get_studio_config(studio_token="t", studio_repo_url="r")

    assert expected is (to_client == {})
    assert expected is load_settings(configs.root).offline


@pytest.mark.parametrize("text", ["only", "2021", " true", "on", "maybe"])
def test_what_is_no_boolean_is_refused(configs: Configs, text: str) -> None:
    with pytest.raises(StudioConfigError, match=r"DVC_STUDIO_OFFLINE.*true or false"):
        load(configs, DVC_STUDIO_OFFLINE=text)


# -- Studio's URL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("https://h", "https://h", id="https"),
        pytest.param("http://h:8501", "http://h:8501", id="http-and-port"),
        pytest.param("https://h/", "https://h", id="slash"),
        pytest.param("https://corp/studio", "https://corp/studio", id="prefix"),
        pytest.param("https://corp/a/studio//", "https://corp/a/studio", id="slashes"),
        pytest.param("http://[::1]:8501/x", "http://[::1]:8501/x", id="ipv6"),
        pytest.param("HTTPS://Host", "HTTPS://Host", id="upper-case"),
        pytest.param("https://bücher.example", "https://bücher.example", id="idn"),
        pytest.param(" https://h\n", "https://h", id="blanks-around"),
        pytest.param("https://h/s?next=/x#top", "https://h/s", id="query"),
    ],
)
def test_a_url_is_kept_with_its_prefix(
    configs: Configs, text: str, expected: str
) -> None:
    assert expected == load(configs, DVC_STUDIO_URL=text).url


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("studio.example.com", id="no-scheme"),
        pytest.param("//studio.example.com", id="relative-scheme"),
        pytest.param("ftp://h", id="ftp"),
        pytest.param("file:///studio", id="file"),
        pytest.param("https://", id="no-host"),
        pytest.param("https:///studio", id="only-path"),
        pytest.param("https://:443", id="only-port"),
        pytest.param("https://h:0", id="port-0"),
        pytest.param("https://h:99999", id="port-too-high"),
        pytest.param("https://h:port", id="port-not-a-number"),
        pytest.param("https://[::1", id="half-an-address"),
        pytest.param("https://h/a b", id="space"),
        pytest.param("https://h/\x1b[2J", id="escape"),
        pytest.param("https://h\nX-Evil: 1", id="newline"),
        pytest.param("https://user:PLANTED_SECRET_KEY@h", id="password"),
        pytest.param("https://PLANTED_SECRET_KEY@h", id="token-as-user"),
        pytest.param("https://:PLANTED_SECRET_KEY@h", id="password-alone"),
        pytest.param("https://@h", id="empty-user"),
    ],
)
class TestBadUrl:
    def test_it_is_refused(self, configs: Configs, text: str) -> None:
        with pytest.raises(StudioConfigError, match=r"^Studio's URL ") as caught:
            load(configs, DVC_STUDIO_URL=text)

        assert caught.value.exit_code == 251

    def test_it_is_not_shown(self, configs: Configs, text: str) -> None:
        configs.set("repo", "studio", url=f'"""{text}"""')
        with pytest.raises(StudioConfigError) as caught:
            load(configs)

        assert "PLANTED" not in str(caught.value)


# -- the token


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("isat_abc", "isat_abc", id="plain"),
        pytest.param("isat_abc\n", "isat_abc", id="newline-of-a-file"),
        pytest.param("  ", None, id="blank"),
    ],
)
def test_a_token_is_taken_without_blanks_around(
    configs: Configs, text: str, expected: str | None
) -> None:
    assert expected == load(configs, DVC_STUDIO_TOKEN=text).token


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("PLANTED\r\nX-Evil: 1", id="header-injection"),
        pytest.param("PLANTED\nX", id="newline"),
        pytest.param("PLANTED X", id="space"),
        pytest.param("PLANTED\x00", id="nul"),
        pytest.param("PLANTEDü", id="non-ascii"),
    ],
)
def test_a_token_that_fits_no_header_is_refused_unseen(
    configs: Configs, text: str
) -> None:
    with pytest.raises(StudioConfigError, match="cannot be sent") as caught:
        load(configs, DVC_STUDIO_TOKEN=text)

    assert "PLANTED" not in str(caught.value)


def test_without_a_token_the_error_names_three_ways_to_set_one(
    configs: Configs,
) -> None:
    settings = load(configs, DVC_STUDIO_URL="https://corp/studio")
    with pytest.raises(TokenMissingError, match="'https://corp/studio'") as caught:
        settings.require_token()

    ways = ["DVC_STUDIO_TOKEN", "dvc studio login", "dvc config --global studio.token"]
    assert ways == [way for way in ways if way in str(caught.value)]
    assert caught.value.exit_code == 3


def test_a_token_that_is_set_is_returned(configs: Configs) -> None:
    assert load(configs, STUDIO_TOKEN="isat_abc").require_token() == "isat_abc"


JOB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.example.com/token?v=2",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "PLANTED",
}


def test_a_job_that_may_get_its_own_token_needs_no_other(configs: Configs) -> None:
    settings = load(configs, **JOB)

    assert settings.require_token() is None
    assert settings.job
    assert (settings.job.url, settings.job.token) == tuple(JOB.values())
    assert "PLANTED" not in repr(settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"ACTIONS_ID_TOKEN_REQUEST_URL": ""},
        {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""},
        {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a\nb"},
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://pipelines.example.com/token"},
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1.evil.com/token"},
        {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://a b/"},
    ],
)
def test_half_of_a_job_is_none(configs: Configs, changed: dict[str, str]) -> None:
    with pytest.raises(TokenMissingError):
        load(configs, **{**JOB, **changed}).require_token()


@pytest.mark.parametrize(
    ("variable", "way"),
    [
        ("GITHUB_ACTIONS", "'permissions: {id-token: write, contents: read}'"),
        ("GITLAB_CI", "'id_tokens: {DVC_STUDIO_TOKEN: {aud: https://corp.example}}'"),
    ],
)
def test_a_job_without_a_token_is_told_how_to_get_its_own(
    configs: Configs, variable: str, way: str
) -> None:
    url = "https://corp.example/studio"
    settings = load(configs, **{variable: "true", "DVC_STUDIO_URL": url})

    with pytest.raises(TokenMissingError, match=way):
        settings.require_token()


# -- files that DVC cannot read


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[studio]\ntoken PLANTED\n", id="no-equals-sign"),
        pytest.param("[studio]\ntoken 'PLANTED') at line 9\n", id="quote-inside"),
        pytest.param("[studio\ntoken = PLANTED\n", id="half-a-section"),
        pytest.param("[studio]\ntoken = 'PLANTED\n", id="half-a-string"),
        pytest.param("[studio]\nunknown = PLANTED\n", id="unknown-option"),
        pytest.param("[studio]\noffline = PLANTED\n", id="no-boolean"),
        pytest.param("[studio]\ntoken = PLANTED, b\n", id="a-list"),
    ],
)
def test_a_broken_config_is_our_error_and_quotes_nothing(
    configs: Configs, text: str
) -> None:
    configs.write("local", text)
    with pytest.raises(StudioConfigError, match="DVC cannot read its config") as caught:
        load(configs)

    assert "PLANTED" not in str(caught.value)


def test_a_config_that_cannot_be_opened_is_named(configs: Configs) -> None:
    configs.files["repo"].mkdir()
    with pytest.raises(StudioConfigError, match=r"\.dvc/config': Is a directory"):
        load(configs)


def test_an_error_in_the_config_has_no_cause_that_dvc_would_print(
    configs: Configs,
) -> None:
    configs.write("local", "[studio]\ntoken PLANTED\n")
    with pytest.raises(StudioConfigError) as caught:
        load(configs)

    assert caught.value.__cause__ is None
