"""Inputs: what a user types becomes a stable list of files, and mistakes say what to type next."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tamis.base.errors import ConfigError, DataError
from tamis.store import paths
from tamis.store.atomic import write_bytes
from tamis.store.location import Location
from tamis.store.paths import expand, open_input, skipped_files
from tamis.store.remote import filesystem, forget_connections


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a/x.warc.gz", "a/y.parquet", "notes.txt", "_SUCCESS.jsonl", ".hidden.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_folder_glob_and_file_agree(folder: Path) -> None:
    files = expand([str(folder)])
    assert [f.name for f in files] == ["a/x.warc.gz", "a/y.parquet", "b.jsonl"]
    assert [f.uri for f in expand([f"{folder}/**/*"])] == [f.uri for f in files]
    (one,) = expand([str(folder / "b.jsonl")])
    assert one.fingerprint == files[2].fingerprint and one.size_bytes == 7
    # A file named outright may have any name.
    assert expand([str(folder / "notes.txt")])[0].name == "notes.txt"


def test_what_is_not_read_is_told(folder: Path) -> None:
    told = {paths.OF_NO_KIND: [str(folder / "notes.txt")]}
    assert skipped_files([str(folder)]) == skipped_files([f"{folder}/**/*"]) == told
    assert skipped_files([str(folder / "notes.txt"), "s3://bucket/folder"]) == {}


def test_every_file_that_is_found_and_not_read_is_told_with_its_reason(folder: Path) -> None:
    (folder / "gone.warc.gz").symlink_to(folder / "nowhere")
    (folder / "missing_crawl").symlink_to(folder / "unmounted")
    (folder / "other").symlink_to(folder / "a")
    (folder / "empty.jsonl").touch()
    os.mkfifo(folder / "pipe.jsonl")
    (folder / os.fsdecode(b"caf\xe9.jsonl")).write_text("x")
    assert [file.name for file in expand([str(folder)])] == ["a/x.warc.gz", "a/y.parquet", "b.jsonl"]
    told = {
        paths.OF_NO_KIND: ["notes.txt"],
        paths.DANGLING: ["gone.warc.gz", "missing_crawl"],
        paths.NOT_FOLLOWED: ["other"],
        paths.EMPTY: ["empty.jsonl"],
        paths.NO_FILE: ["pipe.jsonl"],
        paths.NOT_UTF8: ["caf\\xe9.jsonl"],
    }
    assert skipped_files([str(folder)]) == {
        reason: [f"{folder}/{name}" for name in names] for reason, names in told.items()
    }
    told[paths.FOLDER] = ["a", "other"]
    del told[paths.NOT_FOLLOWED]
    assert skipped_files([f"{folder}/*"]) == {
        reason: [f"{folder}/{name}" for name in names] for reason, names in told.items()
    }
    with pytest.raises(DataError, match=r"pool is empty.*Skipped 1 files that are empty: .*empty\.jsonl"):
        expand([f"{folder}/empty*"])


def test_a_name_that_is_no_file_is_the_users_mistake(folder: Path) -> None:
    (folder / "gone.jsonl").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.jsonl")
    (folder / os.fsdecode(b"caf\xe9.jsonl")).write_text("x")
    for text, message in (
        (str(folder / "gone.jsonl"), "is a link to nothing"),
        (str(folder / "pipe.jsonl"), "is neither a file nor a folder"),
        (str(folder / os.fsdecode(b"caf\xe9.jsonl")), r"caf\\xe9\.jsonl' is not UTF-8\. Rename"),
        ("", "an empty text names no file"),
        ("x" * 5000, "cannot be looked up|does not exist"),
        ("\ud800.jsonl", "cannot be looked up|does not exist"),
        ("a\0b", "does not exist|cannot be looked up"),
        ("~nobody-of-that-name/x", "home directory|does not exist"),
    ):
        with pytest.raises(ConfigError, match=message) as found:
            expand([text])
        str(found.value).encode()


def test_a_file_is_the_same_under_every_path_that_leads_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "link.jsonl").symlink_to("b.jsonl")
    (folder / "hard.jsonl").hardlink_to("b.jsonl")
    (folder / "door").symlink_to("a")
    same = [
        "b.jsonl",
        "./b.jsonl",
        "a/../b.jsonl",
        str(folder / "b.jsonl"),
        "link.jsonl",
        "hard.jsonl",
        f"file://{folder}/b.jsonl",
    ]
    assert [(file.name, file.uri) for file in expand(same)] == [("b.jsonl", "b.jsonl")]
    assert len(expand(["a", "door", "door/x.warc.gz", "a/y.parquet"])) == 2
    # A copy is another file.
    (folder / "copy.jsonl").write_text("b.jsonl")
    assert len(expand(["b.jsonl", "copy.jsonl"])) == 2


def test_a_name_made_unique_is_taken_by_no_other_file(folder: Path) -> None:
    for name in ("one/a.jsonl", "two/a.jsonl", "three/a.jsonl-2"):
        (folder / name).parent.mkdir()
        (folder / name).write_text(name)
    files = [str(folder / name) for name in ("three/a.jsonl-2", "one/a.jsonl", "two/a.jsonl")]
    assert [file.name for file in expand(files)] == ["a.jsonl-2", "a.jsonl", "a.jsonl-3"]


def test_a_folder_that_cannot_be_listed_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"this folder cannot be listed \(Permission denied\)"):
        expand([str(folder)])


def test_each_file_once_and_each_name_once(folder: Path) -> None:
    (folder / "a/b.jsonl").write_text("other")
    files = expand([str(folder / "b.jsonl"), str(folder / "a/b.jsonl"), str(folder / "b.jsonl")])
    assert [f.name for f in files] == ["b.jsonl", "b.jsonl-2"]


def test_fingerprint_follows_the_bytes_not_the_place(folder: Path) -> None:
    before = expand([str(folder / "b.jsonl")])[0]
    moved = folder / "moved"
    moved.mkdir()
    (folder / "b.jsonl").rename(moved / "b.jsonl")
    after = expand([str(moved)])[0]
    assert (after.name, after.fingerprint) == (before.name, before.fingerprint)
    (moved / "b.jsonl").write_text("changed")
    assert expand([str(moved)])[0].fingerprint != before.fingerprint


def test_mistakes_say_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist.*--pool"):
        expand([str(folder / "c.jsonl")])
    with pytest.raises(ConfigError, match="matches no file"):
        expand([f"{folder}/*.warc"])
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"pool is empty.*jsonl"):
        expand([str(folder / "empty")])
    with pytest.raises(ConfigError, match="Known are"):
        expand(["nosuch://x/y"])
    with pytest.raises(DataError, match="cannot be opened"):
        open_input(str(folder / "gone.jsonl"))


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> Location:
    """A remote folder with three files, two of which can be read."""
    root = Location(str(request.getfixturevalue(request.param)))
    for name in ("b.jsonl", "sub/a.jsonl.gz", "sub/readme.md"):
        write_bytes(root / name, name.encode())
    return root


def test_uris_name_files_as_paths_do(bucket: Location) -> None:
    files = expand([str(bucket)])
    assert [f.name for f in files] == ["b.jsonl", "sub/a.jsonl.gz"] and files[1].size_bytes == 14
    assert open_input(files[0].uri).read() == b"b.jsonl"
    (found,) = expand([f"{bucket}/sub/*.gz"])
    assert (found.name, found.fingerprint) == ("a.jsonl.gz", files[1].fingerprint)
    assert [f.name for f in expand([f"{bucket}/b*.jsonl"])] == ["b.jsonl"]
    # A file named outright may have any name, that of a pattern too.
    write_bytes(bucket / "what?[1].txt", b"x")
    for name in ("sub/readme.md", "what?[1].txt"):
        assert [f.name for f in expand([f"{bucket}/{name}"])] == [name.rpartition("/")[2]]


def test_a_remote_file_is_the_same_under_every_address(bucket: Location) -> None:
    addresses = [str(bucket), f"{bucket}/b.jsonl", f"{bucket}/*", f"{bucket}/sub/"]
    addresses += [address.replace("s3://", "s3a://") for address in addresses]
    assert [file.name for file in expand(addresses)] == ["b.jsonl", "sub/a.jsonl.gz"]


def test_the_fingerprint_of_a_remote_file_follows_its_change(bucket: Location) -> None:
    before = expand([str(bucket / "b.jsonl")])[0]
    assert expand([str(bucket / "b.jsonl")]) == [before]
    write_bytes(bucket / "b.jsonl", b"changed")
    assert expand([str(bucket / "b.jsonl")])[0].fingerprint != before.fingerprint


def test_mistakes_in_uris_say_what_to_do(bucket: Location) -> None:
    for name in ("none.jsonl", "none"):
        with pytest.raises(ConfigError, match=rf"pool.inputs: '.*{name}' does not exist. Check the address"):
            expand([str(bucket / name)])
    with pytest.raises(DataError, match="pool is empty"):
        expand([f"{bucket}/*.warc"])
    for text in ("s3:bucket/x", "s3:/bucket/x"):
        with pytest.raises(ConfigError, match=r"pool.inputs: .*Write: s3://bucket/x"):
            expand([text])


def test_a_refusal_of_the_server_is_one_message(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(Location(s3) / "b.jsonl", b"{}")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_connections()
    for text in (s3, f"{s3}/b.jsonl", f"{s3}/*"):
        with pytest.raises(DataError, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            expand([text])
    with pytest.raises(DataError, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_input(f"{s3}/b.jsonl")


def test_a_hub_that_cannot_be_reached_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the package that the hub's client asks through raises it: no OSError.
    offline_error = type("ConnectError", (Exception,), {"__module__": "httpx"})

    def offline(*args: object, **kwargs: object) -> None:
        raise offline_error("[Errno -2] Name or service not known")

    hub = filesystem("hf://datasets/a/b")
    for name in ("isfile", "isdir", "find", "glob", "info", "open"):
        monkeypatch.setattr(hub, name, offline)
    for text in ("hf://datasets/a/b", "hf://datasets/a/b/*.jsonl", "hf://datasets/a/b/x.jsonl"):
        with pytest.raises(DataError, match=r"the server gave no usable answer .*Check the network, then run the same"):
            expand([text])


def test_a_web_address_is_one_file_whatever_it_holds() -> None:
    class Web(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"text": "a"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815 - the name that the server looks for

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        uri = f"http://127.0.0.1:{server.server_port}/data/x.jsonl?download=true&part=*"
        (file,) = expand([uri])
        assert (file.name, file.uri, file.size_bytes) == ("x.jsonl", uri, 13)
        assert open_input(uri).read() == b'{"text": "a"}'
        server.shutdown()
        thread.join()
