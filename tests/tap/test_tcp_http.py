"""Large files between curl or nginx in a kernel and aiohttp or httpx in a namespace, with TLS and without.

kernel namespace far: curl, nginx ══ TAP ══ lan, namespace red: an aiohttp server, clients of aiohttp and httpx

What is sent is made on the way, and told by its SHA-256. VROUTER_TEST_MIB=1024 makes the files a GiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import trustme
from aiohttp import web

from tests.tap.tcp_site import FAR, NEAR, Site, site
from vrouter.testing import TapLab

pytestmark = [pytest.mark.tap, pytest.mark.scoped, pytest.mark.tools("ip", "curl", "nginx", "nstat", "sha256sum")]

MIB = int(os.environ.get("VROUTER_TEST_MIB", "128"))
MIB_TLS = min(MIB, 32)
WAIT = 300.0  # s for a large file, however busy the machine
CURL = ("curl", "--silent", "--show-error", "--fail", "--max-time", "250")


def blocks(count: int) -> Iterator[bytes]:
    """`count` MiB, no two alike."""
    noise = random.Random(1).randbytes((1 << 20) - 8)
    for number in range(count):
        yield number.to_bytes(8, "big") + noise


def digest(parts: Any) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


async def get(request: web.Request) -> web.StreamResponse:
    """So many MiB."""
    response = web.StreamResponse()
    count = int(request.query["mib"])
    response.content_length = count << 20
    await response.prepare(request)
    for block in blocks(count):
        await response.write(block)
    await response.write_eof()
    return response


async def put(request: web.Request) -> web.Response:
    """The SHA-256 of what comes."""
    found = hashlib.sha256()
    async for data in request.content.iter_any():
        found.update(data)
    return web.Response(text=found.hexdigest())


@contextlib.asynccontextmanager
async def aiohttp_server(here: Site, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Files to get and to put, on port 80 or 443 of red."""
    app = web.Application()
    app.router.add_get("/file", get)
    app.router.add_put("/file", put)
    runner = web.AppRunner(app)
    with here.red:
        await runner.setup()
        await web.TCPSite(runner, None, 443 if tls else 80, ssl_context=tls).start()
    try:
        yield
    finally:
        await runner.cleanup()


class Certificates:
    """Of both ends' addresses, and who vouches for them, in `cacert`."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.cacert, self.pem = directory / "ca.pem", directory / "server.pem"
        authority.cert_pem.write_to_path(self.cacert)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*NEAR.values()).configure_cert(self.server)
        authority.issue_cert(*FAR.values()).private_key_and_cert_chain_pem.write_to_path(self.pem)
        self.client = ssl.create_default_context(cafile=str(self.cacert))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


NGINX = """
daemon off; user root; worker_processes 1; pid {at}/pid; error_log {at}/error.log; events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;
    scgi_temp_path {at}/s;
    server {{
        listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl;
        ssl_certificate {pem}; ssl_certificate_key {pem};
        root {at}/files;
    }}
}}
"""


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A directory for nginx, with `large` and `small` under files; gone after the test."""
    (tmp_path / "files").mkdir()
    for name, count in (("large", MIB), ("small", MIB_TLS)):
        with open(tmp_path / "files" / name, "wb") as file:
            file.writelines(blocks(count))
    yield tmp_path
    for name in ("large", "small"):
        (tmp_path / "files" / name).unlink()


def nginx(here: Site, at: Path, certificates: Certificates) -> None:
    """Start it at the kernel's side."""
    (at / "nginx.conf").write_text(NGINX.format(at=at, pem=certificates.pem))
    here.far.start(["nginx", "-c", str(at / "nginx.conf"), "-e", str(at / "error.log")], listens="tcp:443")


def url(address: str, path: str, scheme: str = "http") -> str:
    return f"{scheme}://[{address}]{path}" if ":" in address else f"{scheme}://{address}{path}"


async def test_curl_gets_a_large_file(tap_lab: TapLab) -> None:
    """A file of MIB MiB from an aiohttp server in a namespace: every byte of it."""
    async with site(tap_lab) as here, aiohttp_server(here):
        words = [*CURL, url(NEAR[4], f"/file?mib={MIB}")]
        told = await here.far_runs("sh", "-c", '"$@" | sha256sum', "sh", *words, timeout=WAIT)
        assert told.split()[0] == digest(blocks(MIB))


async def test_curl_puts_a_file(tap_lab: TapLab, files: Path) -> None:
    """A file to an aiohttp server in a namespace, by IPv6."""
    async with site(tap_lab) as here, aiohttp_server(here):
        told = await here.far_runs(*CURL, "-T", str(files / "files/large"), url(NEAR[6], "/file"), timeout=WAIT)
        assert told == digest(blocks(MIB))


async def test_aiohttp_gets_a_large_file(tap_lab: TapLab, files: Path, certificates: Certificates) -> None:
    """A file of MIB MiB from nginx to a client of aiohttp in a namespace: every byte of it."""
    async with site(tap_lab) as here:
        nginx(here, files, certificates)
        found = hashlib.sha256()
        with here.red:
            async with aiohttp.ClientSession() as session, session.get(url(FAR[6], "/large")) as answer:
                assert (answer.status, answer.content_length) == (200, MIB << 20)
                async for data in answer.content.iter_any():
                    found.update(data)
        assert found.hexdigest() == digest(blocks(MIB))


async def test_httpx_over_tls(tap_lab: TapLab, files: Path, certificates: Certificates) -> None:
    """RFC 8446 over a namespace's TCP: nginx's certificate is checked by a client of httpx, and refused if strange."""
    async with site(tap_lab) as here:
        nginx(here, files, certificates)
        found = hashlib.sha256()
        with here.red:
            async with httpx.AsyncClient(verify=certificates.client, timeout=60) as client:
                async with client.stream("GET", url(FAR[4], "/small", "https")) as answer:
                    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")
                    async for data in answer.aiter_raw():
                        found.update(data)
            async with httpx.AsyncClient() as client:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.get(url(FAR[4], "/small", "https"))
        assert found.hexdigest() == digest(blocks(MIB_TLS))


@pytest.mark.parametrize("family", [4, 6])
async def test_curl_over_tls(tap_lab: TapLab, files: Path, certificates: Certificates, family: int) -> None:
    """curl --cacert takes a file from an aiohttp server in a namespace and gives it back; without, it goes (60)."""
    async with site(tap_lab) as here, aiohttp_server(here, certificates.server):
        trusting = [*CURL, "--cacert", str(certificates.cacert)]
        words = [*trusting, url(NEAR[family], f"/file?mib={MIB_TLS}", "https")]
        told = await here.far_runs("sh", "-c", '"$@" | sha256sum', "sh", *words, timeout=WAIT)
        assert told.split()[0] == digest(blocks(MIB_TLS))
        words = ["-T", str(files / "files/small"), url(NEAR[family], "/file", "https")]
        assert await here.far_runs(*trusting, *words, timeout=WAIT) == digest(blocks(MIB_TLS))
        refused = await here.far.run_async([*CURL, url(NEAR[family], "/file?mib=1", "https")], timeout=60)
        assert (refused.returncode, refused.stdout) == (60, "")
