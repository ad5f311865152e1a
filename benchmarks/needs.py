"""Installs the programs that the benchmark needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_SBIN = "/usr/sbin"
_PACKAGES = {
    "nginx": "nginx-light",
    "nginx's stream module": "libnginx-mod-stream",
    "aria2c": "aria2",
    "curl": "curl",
    "git": "git",
    "md5sum": "coreutils",
    "strace": "strace",
}


def program(name: str) -> str | None:
    """Find a program, also in root's folder for programs."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def require() -> None:
    """Install missing programs if we are root; otherwise list them and exit."""
    names = missing()
    if names and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [_PACKAGES[name] for name in names]
        print(f"Installing {' '.join(packages)}", flush=True)
        _apt_get("update", "-qq")
        _apt_get("install", "-qq", "-y", "--no-install-recommends", *packages)
        names = missing()
    if names:
        packages = [_PACKAGES[name] for name in names]
        install = f"apt-get install {' '.join(packages)}"
        message = f"missing: {', '.join(names)}\nOn Debian, as root: {install}"
        raise SystemExit(message)


def missing() -> list[str]:
    """Return the programs that are not installed."""
    found = {name: program(name) for name in _PACKAGES}
    found["nginx's stream module"] = str(STREAM_MODULE) if _has_stream() else None
    return [name for name, path in found.items() if not path]


def _has_stream() -> bool:
    return STREAM_MODULE.exists() or (bool(program("nginx")) and is_stream_built_in())


def is_stream_built_in() -> bool:
    """Whether nginx can limit connections without loading a module."""
    done = subprocess.run(
        [program("nginx") or "nginx", "-V"], capture_output=True, text=True, check=False
    )
    return "--with-stream" in done.stderr.split()


def _apt_get(*args: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *args], env=env, stdout=subprocess.DEVNULL, check=False)
