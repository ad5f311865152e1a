"""The files of ``deploy/``, each checked by the linter of its kind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from needs import need_package, need_program
from ruamel.yaml import YAML

from dvc_studio_models.server.config.file import ConfigFile
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.routes.webhooks import MAX_BODY_BYTES

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "compose"
BIN = Path(sys.executable).parent
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
CURRENT = {"dvc_models_repo_ready", "dvc_models_mirror_stale"}
"""Metrics that are measured when they are asked for."""


def manifests() -> list[Path]:
    names = {"kustomization.yaml", "serve.yaml"}
    return sorted(set(KUBERNETES.iterdir()) - {KUBERNETES / name for name in names})


def lint(*command: str | Path) -> tuple[int, str]:
    """Run a linter; return its exit code and what it printed."""
    done = subprocess.run(
        command, cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def installed(name: str) -> Path:
    need_program(name, str(BIN))
    return BIN / name


def test_hadolint_accepts_the_dockerfile() -> None:
    assert lint(installed("hadolint"), "Dockerfile") == (0, "")


def test_yamllint_accepts_all_yaml() -> None:
    assert lint(installed("yamllint"), "--strict", ".") == (0, "")


def test_compose_is_valid() -> None:
    checker = installed("check-jsonschema")
    schema = ("--builtin-schema", "vendor.compose-spec")

    code, said = lint(checker, *schema, COMPOSE / "compose.yaml")

    assert code == 0, said


def compose() -> Any:
    return YAML(typ="safe").load(COMPOSE / "compose.yaml")


def test_the_server_sees_a_config_that_has_replaced_the_one_before() -> None:
    """A mount of the file alone would keep the one before."""
    studio = compose()["services"]["studio"]
    config = re.findall(r'"--config", "(\S+)"', (DEPLOY / "Dockerfile").read_text())

    mounted = {each.split(":")[1] for each in studio["volumes"]}

    assert config == ["/etc/dvc-studio/serve.yaml"]
    assert "/etc/dvc-studio" in mounted
    assert config[0] not in mounted


def test_the_server_reads_secrets_as_the_compose_file_says(tmp_path: Path) -> None:
    """They are bind mounts, with the host's owner and mode."""
    if os.geteuid():
        pytest.skip("only root can become the user of the container")
    head = (COMPOSE / "compose.yaml").read_text()
    (modes,) = re.findall(r"#\s+(chmod 700 secrets && .*)", head)
    (user,) = re.findall(r"^USER (\d+)$", (DEPLOY / "Dockerfile").read_text(), re.M)
    (tmp_path / "secrets").mkdir()
    for secret in compose()["services"]["studio"]["secrets"]:
        (tmp_path / "secrets" / secret).write_text("x")
    subprocess.run(modes, shell=True, cwd=tmp_path, check=True)
    inside = Path(tempfile.mkdtemp(prefix="compose-"))  # others enter no tmp_path
    try:
        inside.chmod(0o755)
        for path in (tmp_path / "secrets").iterdir():
            shutil.copy(path, inside)  # a mount of a file is not below its folder
        text = (DEPLOY / "serve.yaml").read_text()
        (inside / "serve.yaml").write_text(text.replace("/run/secrets", str(inside)))
        (inside / "serve.yaml").chmod(0o644)
        os.seteuid(int(user))
        (repo,) = ConfigFile(inside / "serve.yaml").read().repos
    finally:
        os.seteuid(0)
        shutil.rmtree(inside)

    assert f"({user} and" in head
    assert repo.problem is None
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_promtool_accepts_the_config_and_the_alerts() -> None:
    need_program("promtool")

    checked = lint(
        "promtool", "check", "config", "--syntax-only", COMPOSE / "prometheus.yml"
    )
    rules = lint("promtool", "check", "rules", COMPOSE / "alerts.yml")

    assert checked[0] == 0, checked[1]
    assert rules[0] == 0, rules[1]


def test_alerts_are_of_metrics_that_there_are() -> None:
    text = (COMPOSE / "alerts.yml").read_text()
    families = {metric.name for metric in metrics._OWN.collect()}

    used = set(re.findall(r"dvc_models_\w+", text))

    assert len(used) >= 4
    assert {name.removesuffix("_total") for name in used} <= families | CURRENT


@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.stem)
def test_a_manifest_fits_the_schema_of_kubernetes(path: Path) -> None:
    need_package("kubernetes_validate")

    code, said = lint(installed("kubernetes-validate"), "--strict", path)

    assert code == 0, said


def test_kustomize_takes_every_manifest() -> None:
    listed = YAML(typ="safe").load(KUBERNETES / "kustomization.yaml")

    assert sorted(listed["resources"]) == [path.name for path in manifests()]
    assert (KUBERNETES / "serve.yaml").read_text() == (
        DEPLOY / "serve.yaml"
    ).read_text()


def test_kustomize_builds() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing")

    code, said = lint("kubectl", "kustomize", KUBERNETES)

    assert code == 0, said
    assert said.count("\nkind: ") >= len(manifests())
    assert "image: registry.example.com/dvc-studio-models:" in said


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    need_program("systemd-analyze")
    unit = tmp_path / "dvc-studio.service"
    text = (DEPLOY / "systemd/dvc-studio.service").read_text()
    unit.write_text(text.replace("/opt/dvc-studio/bin/dvc", sys.executable))

    checked = lint("systemd-analyze", "verify", "--man=no", unit)

    assert checked == (0, "")
    assert "ExecStart=/opt/dvc-studio/bin/dvc models serve --config" in text


def test_nginx_accepts_its_config(tmp_path: Path) -> None:
    need_program("nginx", SYSTEM_PATH)
    key, cert = tmp_path / "studio.key", tmp_path / "studio.pem"
    made = ("-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=studio")
    lint("openssl", "req", *made, "-keyout", key, "-out", cert)
    text = (COMPOSE / "nginx.conf").read_text()
    text = text.replace("/etc/nginx/tls", str(tmp_path))
    text = text.replace("http://studio:", "http://127.0.0.1:")
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    )

    nginx = shutil.which("nginx", path=SYSTEM_PATH)
    assert nginx
    log = ("-e", str(tmp_path / "log"))
    code, said = lint(nginx, "-t", "-q", "-c", whole, *log)

    assert code == 0, said


def test_nginx_lets_large_webhooks_through() -> None:
    text = (COMPOSE / "nginx.conf").read_text()

    assert f"client_max_body_size {MAX_BODY_BYTES >> 20}m;" in text


def test_the_server_accepts_its_config(tmp_path: Path) -> None:
    text = (DEPLOY / "serve.yaml").read_text()
    for secret in ("models_key_id", "models_key"):
        (tmp_path / secret).write_text("x")
        (tmp_path / secret).chmod(0o600)
    config = tmp_path / "serve.yaml"
    config.write_text(text.replace("/run/secrets", str(tmp_path)))
    command = (sys.executable, "-m", "dvc_studio_models", "serve", "--check-config")

    code, said = lint(*command, "--config", config)

    assert code == 0, said
