"""Downloads, from a server on this machine: whole, checked, kept, or told why not."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maskwright.core import DownloadError
from maskwright.core.download import cache_folder, download, is_address

BODY = bytes(range(256)) * 9000
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers by what the path says, and keeps the paths that were asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved", "/files"))
            self.end_headers()
        elif self.path.startswith("/silent"):
            time.sleep(1.0)
        elif self.path.startswith("/missing"):
            self.send_error(404)
        elif self.path.startswith("/broken"):
            self.send_error(503)
        else:
            self.send_file()

    def send_file(self):
        body = b"  <!DOCTYPE html><p>click" if "page" in self.path else BODY
        body = b"" if "empty" in self.path else body
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if "untold" not in self.path:
            told = {"huge": "9" * 30, "odd": "many"}
            name = next((name for name in told if name in self.path), "")
            self.send_header("Content-Length", told.get(name, str(len(body))))
        self.end_headers()
        if "slow" in self.path:
            self.send_slowly(body)
            return
        self.wfile.write(body[: len(body) // 2] if "half" in self.path else body)

    def send_slowly(self, body):
        with contextlib.suppress(ConnectionError):
            for start in range(len(body)):
                self.wfile.write(body[start : start + 1])
                time.sleep(0.02)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def kept():
    folder = cache_folder() / "downloads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_comes_once_and_is_whole(server):
    told = []
    path = download(f"{server.address}/files/net.pth", lambda *so_far: told.append(so_far))
    assert path.read_bytes() == BODY
    assert path.name.endswith("-net.pth")
    assert path.is_relative_to(cache_folder())
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    server.shutdown()  # from now on there is no network
    server.server_close()
    assert download(f"{server.address}/files/net.pth") == path
    assert server.asked == ["/files/net.pth"]
    assert kept() == [path.name]


def test_files_of_one_name_are_kept_apart(server):
    paths = {download(f"{server.address}/{place}/net.pth") for place in ("files", "others")}
    assert len(paths) == 2


def test_redirects_are_followed(server):
    assert download(f"{server.address}/moved/net.pth").read_bytes() == BODY
    assert server.asked == ["/moved/net.pth", "/files/net.pth"]


def test_a_length_that_is_not_told_is_none_to_check(server):
    told = []
    path = download(f"{server.address}/files/untold.pth", lambda *so_far: told.append(so_far))
    assert path.read_bytes() == BODY
    assert {total for _, total in told} == {0}


@pytest.mark.parametrize(
    "ending", [f"net.pth#sha256={SHA}", f"net.pth#sha256={SHA.upper()}", f"net-{SHA[:8]}.pth"]
)
def test_a_checksum_that_agrees(server, ending):
    path = download(f"{server.address}/files/{ending}")
    assert path.read_bytes() == BODY
    # what was changed in the cache since comes again
    path.write_bytes(b"changed")
    assert download(f"{server.address}/files/{ending}").read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize("ending", [f"net.pth#sha256={'0' * 64}", "net-0123abcd.pth"])
def test_a_checksum_that_does_not_agree_keeps_nothing(server, ending):
    with pytest.raises(DownloadError, match=f"expected a sha256 that begins with 0.*got {SHA}"):
        download(f"{server.address}/files/{ending}")
    assert kept() == []


def test_a_day_in_a_name_is_no_checksum(server):
    assert download(f"{server.address}/files/net-20240229.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("missing/net.pth", "can't be had: the server says 404 Not Found; check the address"),
        ("broken/net.pth", "the server says 503 Service Unavailable; try again later"),
        ("files/page.pth", "is a page .*some hosts want a click"),
        ("files/half.pth", f"broke off: expected {len(BODY)} bytes, got {len(BODY) // 2}"),
        ("files/empty.pth", "broke off: expected some bytes, got 0"),
        ("files/net.pth#sha256=12", "expected 64 hexadecimal digits after #sha256=, got '12'"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_kept(server, place, text):
    with pytest.raises(DownloadError, match=text):
        download(f"{server.address}/{place}")
    assert kept() == []


def test_a_silent_server_is_told(server):
    with pytest.raises(DownloadError, match=r"the server was silent for too long\. Connect to the"):
        download(f"{server.address}/silent/net.pth", timeout=0.05)
    assert kept() == []


def test_no_network_is_told(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"could not get .*refused.* or download it elsewhere"):
        download(f"{server.address}/files/net.pth")
    assert kept() == []


def test_a_protected_address_may_not_lead_to_an_open_one():
    from maskwright.core.download import _Redirects, _told_errors

    class Request:
        full_url = "https://a.test/net.pth"

    moved = (None, 302, "Found", {}, "http://b.test/net.pth")
    told = _told_errors("https://a.test/net.pth")
    with pytest.raises(DownloadError, match="leads from https to http://b"), told:
        _Redirects().redirect_request(Request, *moved)


def test_a_files_own_address_is_its_path(tmp_path):
    path = tmp_path / "a net.pth"
    path.write_bytes(BODY)
    assert download(path.as_uri()) == path
    assert download(f"{path.as_uri()}#sha256={SHA}") == path
    with pytest.raises(DownloadError, match="another checksum"):
        download(f"{path.as_uri()}#sha256={'1' * 64}")
    with pytest.raises(DownloadError, match=r"there is no file .*none\.pth on this machine"):
        download((tmp_path / "none.pth").as_uri())


@pytest.mark.parametrize("address", ["ftp://a.test/net.pth", "http:///net.pth"])
def test_other_addresses_are_refused(address):
    with pytest.raises(DownloadError, match="expected an address that begins with http://"):
        download(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("https://a.test/x", True), ("file:///x", True), ("runs/x.pth", False), ("C:\\x.pth", False)],
)
def test_addresses_are_told_from_paths(text, expected):
    assert is_address(text) == expected


def test_the_folder_is_chosen_by_the_environment(monkeypatch, tmp_path):
    for name in ("MASKWRIGHT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [cache_folder()]
    for name in ("XDG_CACHE_HOME", "MASKWRIGHT_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
        found.append(cache_folder())
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        ".cache/maskwright",
        "XDG_CACHE_HOME/maskwright",
        "MASKWRIGHT_CACHE",
    ]


def test_two_at_once_end_in_one_whole_file(server):
    address = f"{server.address}/files/net.pth"
    threads = [threading.Thread(target=download, args=(address,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept()) == 1
    assert download(address).read_bytes() == BODY


def test_a_server_that_dribbles_is_not_waited_for(server):
    with pytest.raises(DownloadError, match=rf"takes too long: \d+ of {len(BODY)} bytes"):
        download(f"{server.address}/slow/net.pth", longest=0.2)
    assert kept() == []


@pytest.mark.parametrize("name", ["net.pth", "untold.pth"])
def test_a_file_that_is_too_large_is_refused(server, name):
    with pytest.raises(DownloadError, match=f"more than {len(BODY) - 1} bytes"):
        download(f"{server.address}/files/{name}", largest=len(BODY) - 1)
    assert kept() == []
    assert download(f"{server.address}/files/{name}", largest=len(BODY)).read_bytes() == BODY


def test_what_the_disk_cannot_hold_is_refused_before_it_comes(server):
    with pytest.raises(DownloadError, match=r"only \d+ are free"):
        download(f"{server.address}/huge/net.pth", largest=10**31)
    with pytest.raises(DownloadError, match="more than 17179869184 bytes"):
        download(f"{server.address}/huge/net.pth")
    assert kept() == []


def test_a_length_that_is_no_number_tells_nothing(server):
    assert download(f"{server.address}/odd/net.pth").read_bytes() == BODY
