"""Nothing waits for a resolver that does not answer, and libcurl may be missing."""

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


BROKEN = """
import sys
sys.path.insert(0, sys.argv[1])
from dvc_studio_models.errors import StudioModelsError
from dvc_studio_models.http.response import RangeRequest
from dvc_studio_models.http.signed_urls import SignedUrls
from dvc_studio_models.http.storage import Storage
from dvc_studio_models.model import ModelFile

files = [ModelFile("m", "http://127.0.0.1:1/m")]
storage = Storage(SignedUrls(files, dict), connections=1, idle_s=1)
for request in (storage.batch, lambda: storage.ask(RangeRequest("m", 0, 1))):
    try:
        request()
    except StudioModelsError as error:
        print(error.exit_code, error)
"""


@pytest.mark.parametrize("reason", ["No module named 'pycurl'", "wrong TLS library"])
def test_a_libcurl_that_cannot_be_loaded_is_told(tmp_path: Path, reason: str) -> None:
    (tmp_path / "pycurl.py").write_text(f"raise ImportError({reason!r})")

    done = subprocess.run(
        [sys.executable, "-c", BROKEN, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    hint = "Install it for this Python: 'pip install pycurl'"
    assert done.stdout == f"255 cannot download files: {reason}\n{hint}\n" * 2
