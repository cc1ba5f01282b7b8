"""Fixtures of the training tests: the tiny dataset, an undisturbed training on it, an S3 server on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from training_data import train, write_tokens

from tamis.store import location
from tamis.store.location import Location


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Location:
    """A tokens folder of 6,400 tokens."""
    return write_tokens(tmp_path_factory.mktemp("dataset") / "tokens")


@pytest.fixture(scope="session")
def undisturbed(tokens: Location, tmp_path_factory: pytest.TempPathFactory) -> Location:
    """The output of a training on `tokens` that nothing interrupted."""
    pytest.importorskip("torch")
    output = Location(tmp_path_factory.mktemp("undisturbed") / "train")
    train(tokens, output)
    return output


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Location]:
    """A bucket of a real S3 server on 127.0.0.1, whose contents only these bytes over HTTP can change."""
    moto_server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    # The address is read when a client is made: one made for another server must not be used.
    location._opened.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    location.filesystem("s3://models").mkdir("models")
    yield Location("s3://models")
    location._opened.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
