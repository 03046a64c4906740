"""The unix socket of the door: the same routes and the same guard, for this user alone."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from nightschool.daemon import unix
from nightschool.errors import Refused, UsageError
from service_harness import Service, service

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets"
)


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket, as curl's --unix-socket does it."""

    def __init__(self, path: Path, host: str) -> None:
        super().__init__(host, timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


def ask(door: Service, path: Path, host: str, token: str) -> tuple[int, Any]:
    connection = Connection(path, host)
    try:
        connection.request("GET", "/ns/versions", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_socket_serves_what_the_port_serves_under_the_same_guard(tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))  # a crash left it behind
    with service(environment={"NIGHTSCHOOL_SERVE_SOCKET": str(path)}) as door:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        host = f"localhost:{door.port}"
        status, found = ask(door, path, host, door.token)
        assert (status, found["versions"][-1]["number"]) == (200, 0)
        assert ask(door, path, host, "wrong" * 9)[0] == 401
        assert ask(door, path, "evil.example", door.token)[0] == 403
        assert door.request("GET", "/ns/versions").status == 200  # the port is there too
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [("taken.txt", Refused), ("no/such/folder/x", UsageError), ("x" * 120, UsageError)],
)
def test_a_socket_takes_no_place_that_is_not_its_own(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "taken.txt").write_text("mine")
    with pytest.raises(error):
        unix.listen(tmp_path / name)
    assert (tmp_path / "taken.txt").read_text() == "mine"
    with pytest.raises(UsageError):
        unix.listen(Path("relative.sock"))


def test_two_services_do_not_share_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = unix.listen(path)
    try:
        with pytest.raises(Refused, match="Another program"):
            unix.listen(path)
    finally:
        first.close()
    unix.listen(path).close()  # nobody listens any more: it is replaced
    unix.remove(path)
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file mode")
def test_the_socket_is_never_open_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        unix.listen(tmp_path / "y.sock").close()
        assert stat.S_IMODE((tmp_path / "y.sock").stat().st_mode) == 0o600
        assert os.umask(0) == 0  # and the umask is put back
    finally:
        os.umask(before)
