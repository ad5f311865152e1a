"""Nothing waits for a resolver that does not answer."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from needs import mount_namespace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.reliability("Connections")

SCRIPT = """
import fcntl, socket, struct, sys, threading, time
from dvc_studio_models.http.response import RangeRequest
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
up = struct.pack("16sh", b"lo", 0x1 | 0x40)
fcntl.ioctl(resolver, 0x8914, up)  # SIOCSIFFLAGS
resolver.bind(("127.0.0.1", 53))
files = [ModelFile("m", "http://storage.example/m")]
storage = Storage(SignedUrls(files, dict), connections=1, idle_s=60)
request = RangeRequest("m", 0, 1)
batch = storage.batch()
if sys.argv[1] == "batch":
    batch.add(request)
    assert batch.wait(0.5) == []
else:
    def ask():
        try:
            storage.ask(request)
        except Exception as error:
            print(error)

    thread = threading.Thread(target=ask)
    thread.start()
resolver.recv(512)
storage.stop()
if sys.argv[1] == "ask":
    thread.join()
batch.close()
storage.close()
print("closed")
"""


@pytest.mark.parametrize("way", ["ask", "batch"])
def test_the_end_does_not_wait_for_a_resolver(tmp_path: Path, way: str) -> None:
    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    hosts = tmp_path / "nsswitch.conf"
    hosts.write_text("hosts: dns\n")
    mounts = (
        f"mount --bind {settings} /etc/resolv.conf && "
        f"mount --bind {hosts} /etc/nsswitch.conf && "
    )
    done = subprocess.run(
        [
            *(*mount_namespace(), "--net", "sh", "-c", f'{mounts} exec "$@"', "sh"),
            *(sys.executable, "-c", SCRIPT, way),
        ],
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
    )

    assert done.stdout.endswith("closed\n")
