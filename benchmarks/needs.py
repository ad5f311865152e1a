"""The programs that are measured or serve; installed where that is possible."""

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
}


def program(name: str) -> str | None:
    """Find a program, also where only root looks for it."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def require() -> None:
    """Install what is missing where we may; else say what is missing, and end."""
    if (lacking := _lacking()) and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [_PACKAGES[name] for name in lacking]
        print(f"Installing {' '.join(packages)}", flush=True)
        _apt_get("update", "-qq")
        _apt_get("install", "-qq", "-y", "--no-install-recommends", *packages)
        lacking = _lacking()
    if lacking:
        packages = [_PACKAGES[name] for name in lacking]
        install = f"apt-get install {' '.join(packages)}"
        message = f"missing: {', '.join(lacking)}\nOn Debian, as root: {install}"
        raise SystemExit(message)


def _lacking() -> list[str]:
    found = {name: program(name) for name in _PACKAGES}
    found["nginx's stream module"] = str(STREAM_MODULE) if _has_stream() else None
    return [name for name, path in found.items() if not path]


def _has_stream() -> bool:
    return STREAM_MODULE.exists() or (bool(program("nginx")) and is_stream_built_in())


def is_stream_built_in() -> bool:
    """Whether nginx can limit connections without loading a module."""
    told = subprocess.run(
        [program("nginx") or "nginx", "-V"], capture_output=True, text=True, check=False
    )
    return "--with-stream" in told.stderr.split()


def _apt_get(*args: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *args], env=env, stdout=subprocess.DEVNULL, check=False)
