"""``serve.yaml``: what is read from it, and how its mistakes are told."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from datetime import date
from typing import TYPE_CHECKING

import pytest
from dvc import config_schema

from dvc_studio_models.cli.output import shorten_lists
from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server.config.file import ConfigFile, ServeConfigError
from dvc_studio_models.server.config.schema import SERVE, remote_schemas
from dvc_studio_models.server.config.sections import Items, Pairs, Section

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.server.config.values import ServeConfig

DOCS = (pathlib.Path(__file__).parents[3] / "docs/serve-config.md").read_text()
SHA256 = hashlib.sha256(b"token").hexdigest()
OTHER = hashlib.sha256(b"another token").hexdigest()
TOKENS = f"tokens: [{{name: ci, sha256: {SHA256}}}]\n"
REPOS = "repos:\n- path: models.git\n"
HIDDEN = "hunter2"
FILE = "{file: secret}"
NO_SHA256 = "this is not the SHA-256 of a token; make both with 'dvc models token'"
NO_LOOPBACK = (
    "'0.0.0.0' is not loopback, and this server does not support TLS. Put a TLS proxy "
    "in front of it, and add 'behind_proxy: true'"
)

FULL = f"""\
listen: 127.0.0.1:8600
data: mirrors
expires: 60
verify_objects: true
behind_proxy: true
workers: 2
log_format: json
repos:
  - name: models
    path: /srv/models.git
    aliases: [git@ssh.dev.azure.com:v3/acme/ml/models]
    remote: storage
    roots: [s3://bucket/models, ../storage]
    credentials:
      access_key_id: {{env: MODELS_KEY}}
      secret_access_key: {{file: secret}}
      session_token: literal
  - name: mirrored
    url: git@github.com:acme/models.git
    fetch: 30
    webhook_secret: {{env: MODELS_KEY}}
tokens:
  - name: ci
    sha256: {SHA256}
    repos: [models, "team-*"]
    until: 2027-01-31
  - name: ada
    sha256: sha256:{OTHER.upper()}
oidc:
  - issuer: https://token.actions.githubusercontent.com
    audience: https://studio.example.com
    claims: {{repository_owner: [acme]}}
    repos: [models]
git_hosts:
  - url: https://github.com
    kind: github
"""


def write_private(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def read(folder: Path, text: str) -> ServeConfig:
    file = folder / "serve.yaml"
    write_private(file, text)
    return ConfigFile(file).read()


def mistakes(folder: Path, text: str) -> list[str]:
    """Return the mistakes without the name of the file."""
    with pytest.raises(ServeConfigError) as refused:
        read(folder, text)
    assert all(each in str(refused.value) for each in refused.value.mistakes)
    start = f"{folder / 'serve.yaml'}:"
    return [each.removeprefix(start) for each in refused.value.mistakes]


def test_all_that_the_operator_chooses_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_KEY", "key")
    write_private(tmp_path / "secret", "from the file\n")

    config = read(tmp_path, FULL)

    assert (config.host, config.port, config.expires_s) == ("127.0.0.1", 8600, 60)
    assert config.data == tmp_path / "mirrors"
    assert (config.verify_objects, config.behind_proxy) == (True, True)
    assert (config.workers, config.log_format) == (2, "json")
    models, mirrored = config.repos
    assert (models.name, models.path) == ("models", "/srv/models.git")
    assert models.aliases == ("git@ssh.dev.azure.com:v3/acme/ml/models",)
    assert models.remote == "storage"
    assert models.roots == ("s3://bucket/models", str(tmp_path.parent / "storage"))
    assert models.credentials == {
        "access_key_id": "key",
        "secret_access_key": "from the file",
        "session_token": "literal",
    }
    assert (mirrored.url, mirrored.fetch_s) == ("git@github.com:acme/models.git", 30)
    assert mirrored.webhook_secret == "key"
    assert config.tokens is not None
    ci, ada = config.tokens
    assert (ci.name, ci.sha256, ci.repos) == ("ci", SHA256, ("models", "team-*"))
    assert ci.until == date(2027, 1, 31)
    assert (ada.sha256, ada.repos, ada.until) == (OTHER, ("*",), None)
    assert config.oidc[0].claims == {"repository_owner": ("acme",)}
    assert (config.git_hosts[0].url, config.git_hosts[0].kind) == (
        "https://github.com",
        "github",
    )


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    config = read(tmp_path, REPOS + TOKENS)

    assert (config.host, config.port, config.expires_s) == ("127.0.0.1", 8501, 3600)
    (repo,) = config.repos
    assert (repo.path, repo.name) == (str(tmp_path / "models.git"), "")
    assert repo.roots is None


def test_each_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    text = f"""\
listen: nowhere
repoes: []
repos:
  - name: models
    path: /srv/models.git
    fetch: soon
  - name: models
    path: 7
    alias: [x]
  - {{}}
tokens:
  - name: ci
    sha256: {HIDDEN}
    until: 2027-02-30
  - nobody
"""

    assert mistakes(tmp_path, text) == [
        "1: listen: 'nowhere' is not HOST:PORT, such as 127.0.0.1:8501",
        "2: repoes: unknown key; did you mean 'repos'?",
        "6: repos[0].fetch: 'soon' is not a number from 1 to 86400",
        "6: repos[0].fetch: only a repo with a 'url' is fetched",
        "7: repos[1].name: repos[0] has the same 'name'",
        "8: repos[1].path: this has to be a text",
        "9: repos[1].alias: unknown key; did you mean 'aliases'?",
        "10: repos[2]: a repo has either a 'path' or a 'url'",
        f"13: tokens[0].sha256: {NO_SHA256}",
        "14: tokens[0].until: '2027-02-30' is not a date, such as 2027-01-31",
        "15: tokens[1]: this has to be a mapping of keys to values",
    ]


@pytest.mark.parametrize("token", ["1", "2", "test"])
@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_the_token_of_an_example_is_refused(
    tmp_path: Path, token: str, prefix: str
) -> None:
    sha256 = prefix + hashlib.sha256(token.encode()).hexdigest().upper()
    tokens = f"tokens: [{{name: ci, sha256: {sha256!r}}}]\n"

    assert mistakes(tmp_path, REPOS + tokens) == [
        (
            f"3: tokens[0].sha256: this is the SHA-256 of '{token}', which anybody can "
            "guess; make a token with 'dvc models token'"
        )
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "1: this has to be a mapping of keys to values"),
        ("repos: [\n", "2: expected the node content, but found '<stream end>'"),
        ("a: 1\nb: !!bool maybe\n", "2: this cannot be read as 'bool'"),
        (f"a: 1\nb: {'9' * 5000}\n", "2: this cannot be read as 'int'"),
        ("a: 1\nb: \0\n", "2: it has the character '\\x00', which YAML forbids"),
        (f"{REPOS}repos: []\n", "3: this key is there twice"),
        (f"repos: []\n{TOKENS}", "1: repos: the list is empty"),
        (TOKENS, "1: 'repos' is missing"),
        (REPOS, "1: there is nobody to serve: add 'tokens', or 'no_auth: true'"),
        (
            f"{REPOS}no_auth: true\n{TOKENS}",
            "3: no_auth: 'no_auth' and 'tokens' cannot be combined",
        ),
        (
            f"{REPOS}{TOKENS}listen: 0.0.0.0:80\n",
            f"4: listen: {NO_LOOPBACK}",
        ),
        (
            f"repos:\n- url: https://h/o/r\n{TOKENS}",
            "2: repos[0].url: its mirror needs a folder: add 'data'",
        ),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(
    tmp_path: Path, text: str, mistake: str
) -> None:
    assert mistakes(tmp_path, text) == [mistake]


@pytest.mark.parametrize(
    ("secret", "mistake"),
    [
        ("{env: NOT_SET}", "the environment variable 'NOT_SET' is not set"),
        ("{file: nothing}", "cannot read '{}/nothing': No such file or directory"),
        ("{file: empty}", "'{}/empty' is empty"),
        (f"[{HIDDEN}]", "a secret is a text, {env: NAME} or {file: PATH}"),
        (f"{{text: {HIDDEN}}}", "a secret is a text, {env: NAME} or {file: PATH}"),
    ],
)
def test_a_secret_that_is_not_there_is_a_mistake(
    tmp_path: Path, secret: str, mistake: str
) -> None:
    write_private(tmp_path / "empty", "\n")
    text = f"{REPOS}  credentials:\n    password: {secret}\n{TOKENS}"

    file = tmp_path / "serve.yaml"
    write_private(file, text)
    with pytest.raises(ServeConfigError) as refused:
        ConfigFile(file).check(lambda _: {})

    expected = mistake.replace("{}", str(tmp_path))
    where = f"{file}:4: repos[0].credentials.password"
    assert refused.value.mistakes == (f"{where}: {expected}",)


def test_a_repo_without_its_secret_has_a_problem(tmp_path: Path) -> None:
    missing = "  credentials: {password: {file: nothing}}\n"
    config = read(tmp_path, f"{REPOS}{missing}- path: other.git\n{TOKENS}")

    first, second = config.repos

    assert first.problem == (
        f"cannot read '{tmp_path / 'nothing'}': No such file or directory"
    )
    assert second.problem is None


@pytest.mark.parametrize("public", ["serve.yaml", "secret"])
def test_a_secret_that_everybody_can_read_is_a_mistake(
    tmp_path: Path, public: str
) -> None:
    secret = {"serve.yaml": HIDDEN, "secret": "{file: secret}"}[public]
    write_private(tmp_path / "secret", HIDDEN)
    text = f"{REPOS}  credentials:\n    password: {secret}\n{TOKENS}"
    read(tmp_path, text)
    (tmp_path / public).chmod(0o644)

    with pytest.raises(ServeConfigError) as refused:
        ConfigFile(tmp_path / "serve.yaml").read()

    (mistake,) = refused.value.mistakes
    assert "4: repos[0].credentials.password: every user of this machine" in mistake
    assert HIDDEN not in mistake


URLS = "data: d\nrepos:\n- url: URL\n" + TOKENS


def test_a_url_with_a_password_is_a_secret(tmp_path: Path) -> None:
    url = f"https://u:{HIDDEN}@h/o/r"
    write_private(tmp_path / "secret", url)
    literal, from_file = (
        read(tmp_path, URLS.replace("URL", each)) for each in (url, FILE)
    )
    (tmp_path / "serve.yaml").write_text(URLS.replace("URL", url))
    (tmp_path / "serve.yaml").chmod(0o644)

    with pytest.raises(ServeConfigError, match="every user") as refused:
        ConfigFile(tmp_path / "serve.yaml").read()

    assert literal == from_file
    assert literal.repos[0].url == url
    assert HIDDEN not in repr(literal)
    assert HIDDEN not in str(refused.value)


NO_GIT_URLS = [
    "ext::sh -c id",
    "codecommit::eu-west-1://models",
    "ftp://h/o/r",
    "HTTPS://h/o/r",
    "-oProxyCommand=id",
    "ssh://-oProxyCommand=id/o/r",
    "ssh://git@-oProxyCommand=id/o/r",
    "ssh://%2DoProxyCommand=id/o/r",
    "git@-oProxyCommand=id:o/r",
]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("repos: [{name: a, path: a,\n aliases: ['http://[']}]\nno_auth: true", 2),
        ("repos: [{name: a, path: a,\n roots: ['s3://[']}]\nno_auth: true", 2),
        ("data: d\nrepos:\n- url: http://[\nno_auth: true", 3),
        (f"{REPOS}git_hosts:\n- {{url: 'https://[', kind: github}}", 4),
    ],
)
def test_a_url_that_cannot_be_parsed_is_a_mistake(
    tmp_path: Path, text: str, line: int
) -> None:
    (found,) = mistakes(tmp_path, text)

    assert found.startswith(f"{line}: ")
    assert found.endswith(": this is no valid URL")


def test_a_git_host_has_no_password(tmp_path: Path) -> None:
    text = f"{REPOS}git_hosts: [{{url: 'https://u:p@github.com', kind: github}}]"

    (found,) = mistakes(tmp_path, text)

    assert "must not have a user or a password" in found


def test_true_and_false_may_have_anchors(tmp_path: Path) -> None:
    text = f"{REPOS}no_auth: &yes true\nverify_objects: *yes\n"

    assert read(tmp_path, text).verify_objects is True
    (found,) = mistakes(tmp_path, f"{text}workers: &one true")
    assert found == "5: workers: 'true' is not a number from 1 to 256"


@pytest.mark.parametrize("url", NO_GIT_URLS)
def test_a_url_from_which_git_does_not_fetch_is_a_mistake(
    tmp_path: Path, url: str
) -> None:
    (found,) = mistakes(tmp_path, URLS.replace("URL", f'"{url}"'))

    assert "url: Git does not fetch from such a URL" in found
    assert url not in found


@pytest.mark.parametrize("url", NO_GIT_URLS)
def test_a_secret_url_from_which_git_does_not_fetch_stops_no_other_repo(
    tmp_path: Path, url: str
) -> None:
    write_private(tmp_path / "secret", url)

    (repo,) = read(tmp_path, URLS.replace("URL", FILE)).repos

    assert repo.problem
    assert "Git does not fetch from such a URL" in repo.problem


@pytest.mark.parametrize(
    "url",
    [
        "https://h/o/r",
        "http://u:p@h:8/o/r",
        "ssh://git@h:2222/o/r-",
        "git+ssh://git@h/o/r",
        "git://h/o/r",
        "git@h:o/r",
        "[git@h:2222]:o/r",
        "file:///srv/r.git",
        "/srv/-r.git",
        "./-r.git",
        "models.git",
    ],
)
def test_a_url_from_which_git_fetches_is_none(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, URLS.replace("URL", f'"{url}"')).repos[0].problem is None


def test_a_config_without_secrets_may_be_public(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(URLS.replace("URL", "https://h/o/r"))
    file.chmod(0o644)

    assert ConfigFile(file).read().repos


def test_the_options_of_remotes_are_known_with_every_dvc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {kind: {*map(str, each)} for kind, each in remote_schemas().items()}
    monkeypatch.delattr(config_schema, "REMOTE_SCHEMAS", raising=False)
    before_3_64 = {kind: {*map(str, each)} for kind, each in remote_schemas().items()}

    assert before_3_64 == known
    assert known["s3"] >= {"url", "access_key_id", "endpointurl"}


def test_an_option_that_dvc_does_not_have_is_a_mistake(tmp_path: Path) -> None:
    text = f"{REPOS}  credentials:\n    acess_key_id: {HIDDEN}\n{TOKENS}"

    (mistake,) = mistakes(tmp_path, text)

    hint = "unknown option of DVC; did you mean 'access_key_id'?"
    assert mistake == f"4: repos[0].credentials.acess_key_id: {hint}"


def test_a_file_of_credentials_is_beside_the_config(tmp_path: Path) -> None:
    options = "credentialpath: aws/keys, ssl_verify: false"
    text = f"{REPOS}  credentials: {{{options}}}\n{TOKENS}"

    (repo,) = read(tmp_path, text).repos

    expected = {"credentialpath": str(tmp_path / "aws/keys"), "ssl_verify": "false"}
    assert repo.credentials == expected


OIDC = """\
oidc:
- issuer: https://token.actions.githubusercontent.com
  audience: https://studio.example.com
  claims: {}
"""


def test_one_glob_for_a_claim_needs_no_list(tmp_path: Path) -> None:
    oidc = OIDC.replace("{}", "{repository: acme/*, ref: [a, b]}")

    (rule,) = read(tmp_path, REPOS + oidc).oidc

    assert rule.claims == {"repository": ("acme/*",), "ref": ("a", "b")}


def test_a_rule_that_accepts_the_jobs_of_strangers_is_a_mistake(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, REPOS + OIDC.replace("{}", "{repository: '*'}"))

    assert mistake.startswith("6: oidc[0].claims: everybody can run jobs at ")


def test_the_kind_of_a_public_git_host_is_known(tmp_path: Path) -> None:
    config = read(tmp_path, REPOS + "git_hosts:\n- url: https://gitlab.com\n")

    assert config.git_hosts[0].kind == "gitlab"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("git_hosts:\n- url: https://h\n", "4: git_hosts[0]: 'kind' is missing"),
        (
            "git_hosts:\n- url: http://h\n  kind: gitlab\n",
            "4: git_hosts[0].url: this is not an https URL",
        ),
        (
            "git_hosts:\n- url: https://h\n  kind: svn\n",
            "5: git_hosts[0].kind: 'svn' is none of: github, gitlab",
        ),
    ],
)
def test_a_mistake_about_a_git_host_is_named(
    tmp_path: Path, text: str, mistake: str
) -> None:
    assert mistakes(tmp_path, REPOS + text) == [mistake]


def test_the_mirror_of_a_path_is_of_that_beside_the_config(tmp_path: Path) -> None:
    text = f"data: data\nrepos:\n- url: up.git\n- url: git@h:o/r.git\n{TOKENS}"

    first, second = read(tmp_path, text).repos

    assert (first.url, second.url) == (str(tmp_path / "up.git"), "git@h:o/r.git")


@pytest.mark.parametrize(
    "text",
    [
        f"{REPOS}  credentials: {HIDDEN}\n",
        f"{REPOS}  credentials:\n    password: {HIDDEN}\n    password: {HIDDEN}\n",
        f"{REPOS}  credentials:\n    password: {HIDDEN}: {HIDDEN}\n",
        f"{REPOS}  aliases: https://u:{HIDDEN}@h/r\n",
        f"{REPOS}tokens: {HIDDEN}\n",
        f"{REPOS}tokens: [{{name: ci, sha256: {HIDDEN}}}]\n",
        f"repos: https://u:{HIDDEN}@h/r\n",
    ],
)
def test_no_message_quotes_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(StudioConfigError) as refused:
        read(tmp_path, text)

    assert HIDDEN not in str(refused.value)


def test_the_values_of_a_config_hide_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_KEY", HIDDEN)
    write_private(tmp_path / "secret", HIDDEN)

    shown = repr(read(tmp_path, FULL))

    assert HIDDEN not in shown
    assert SHA256 not in shown


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["no file", "no text"])
def test_a_config_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "serve.yaml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(StudioConfigError, match=f"cannot read the config '{file}'"):
        ConfigFile(file).read()


def test_the_files_of_secrets_are_watched_too(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", "s")
    file = tmp_path / "serve.yaml"
    file.write_text(f"{REPOS}  credentials: {{password: {{file: secret}}}}\n{TOKENS}")
    source = ConfigFile(file)

    source.read()

    assert set(source.files) == {file, tmp_path / "secret"}


@pytest.mark.parametrize("pipe", ["serve.yaml", "secret"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, pipe: str) -> None:
    text = f"{REPOS}  credentials: {{password: {FILE}}}\n{TOKENS}"
    write_private(tmp_path / "serve.yaml", text)
    (tmp_path / pipe).unlink(missing_ok=True)
    os.mkfifo(tmp_path / pipe, 0o600)

    with pytest.raises(StudioConfigError, match="it is not a regular file"):
        ConfigFile(tmp_path / "serve.yaml").check(lambda _: {})


def test_two_tokens_of_one_hash_are_a_mistake(tmp_path: Path) -> None:
    tokens = (
        f"tokens:\n- {{name: a, sha256: {SHA256}}}\n- {{name: b, sha256: {SHA256}}}\n"
    )

    assert mistakes(tmp_path, REPOS + tokens) == [
        "5: tokens[1].sha256: tokens[0] has the same 'sha256'"
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("workers: true", "'true' is not a number from 1 to 256"),
        (f"tokens: [{{name: a, sha256: {SHA256}, repos: []}}]", "the list is empty"),
        ("repos: [{path: r, roots: ['s3:/b']}]", "this is neither a path nor a URL"),
        ('data: "a\\0b"', "it has the character '\\x00', which no text here can have"),
        ('data: "\\ud800"', "it has the character '\\ud800', which no text here"),
        (
            'repos: [{path: r, credentials: {password: {file: "\\0"}}}]',
            "password.file: it has the character '\\x00'",
        ),
    ],
)
def test_a_value_without_a_sense_is_a_mistake(
    tmp_path: Path, text: str, mistake: str
) -> None:
    rest = (REPOS, TOKENS)
    others = "".join(each for each in rest if each[:5] != text[:5])

    (found,) = mistakes(tmp_path, f"{text}\n{others}")

    assert mistake in found


def test_no_mistake_of_many_is_left_out_of_the_message(tmp_path: Path) -> None:
    text = REPOS + TOKENS + "".join(f"key{n}: 1\n" for n in range(30))
    with pytest.raises(ServeConfigError) as refused:
        read(tmp_path, text)

    assert shorten_lists(str(refused.value), hint="") == str(refused.value)
    assert str(refused.value).count("unknown key") == 30


def test_the_config_in_the_docs_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_KEY", "key")
    blocks = re.findall(r"<!-- serve.yaml -->\n```yaml\n(.*?)```", DOCS, re.DOTALL)

    (text,) = blocks

    config = read(tmp_path, text.replace("/run/secrets", str(tmp_path)))
    assert [repo.name for repo in config.repos] == ["models", "vision"]


def test_the_config_in_the_docs_of_tokens_is_valid(tmp_path: Path) -> None:
    page = pathlib.Path(__file__).parents[3] / "docs/tokens.md"
    blocks = re.findall(
        r"<!-- serve.yaml -->\n```yaml\n(.*?)```", page.read_text(), re.S
    )

    (text,) = blocks

    config = read(tmp_path, text)
    assert config.tokens
    assert config.oidc
    assert config.git_hosts


def test_the_docs_name_every_key() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", DOCS, re.MULTILINE))

    assert named == {name for section in sections(SERVE) for name in section.keys}


def sections(section: Section) -> list[Section]:
    """Return a section and those in it."""
    found = [section]
    for key in section.keys.values():
        inner = key.kind.kind if isinstance(key.kind, (Items, Pairs)) else None
        found += sections(inner) if isinstance(inner, Section) else []
    return found
