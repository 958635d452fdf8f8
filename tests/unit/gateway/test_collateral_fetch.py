"""The fetcher against SIMULATED vendors: outage, sizes, redirects, ETags, proxies."""

import asyncio

import pytest

from attestation.evidence import Role
from gateway.collateral.fetch import Fetcher, FetchError, Limits
from gateway.collateral.request import BINARY, OCSP_RESPONSE, Answer, Request
from tests.unit.gateway.collateral_vendor import Reply, Vendor, serving

QUICK = Limits(timeout_s=2, tries=3, backoff_s=0.001, max_backoff_s=0.002, max_bytes=64)


def question(vendor: Vendor, path: str = "/x", *, chain: str = "") -> Request:
    """Return a question to a vendor."""
    return Request.get(Role.HSK_CEK, vendor.base + path, BINARY, chain=chain)


async def ask(vendor: Vendor, limits: Limits = QUICK, **more: str) -> Answer | None:
    """Ask one question."""
    async with serving(vendor), Fetcher(limits) as fetcher:
        return await fetcher.fetch(question(vendor, chain=more.pop("chain", "")), **more)


async def test_an_answer_and_its_etag() -> None:
    """Body and ETag come back."""
    vendor = Vendor(otherwise=Reply(body=b"yes", headers={"ETag": '"1"'}))
    assert await ask(vendor) == Answer(body=b"yes", etag='"1"')


async def test_not_modified() -> None:
    """A 304 to our ETag is no answer; a 304 to nothing is an error."""
    vendor = Vendor(otherwise=Reply(body=b"yes", headers={"ETag": '"1"'}))
    assert await ask(vendor, etag='"1"') is None
    with pytest.raises(FetchError) as caught:
        await ask(Vendor(otherwise=Reply(status=304)))
    assert caught.value.code in {"collateral.fetch.status", "collateral.fetch.redirect"}


async def test_a_server_error_is_tried_again() -> None:
    """503 and 429 are followed by another try."""
    vendor = Vendor(queue=[Reply(status=503), Reply(status=429)], otherwise=Reply(body=b"yes"))
    assert await ask(vendor) == Answer(body=b"yes")
    assert len(vendor.asked) == 3


@pytest.mark.parametrize(
    ("reply", "code", "tries"),
    [
        (Reply(status=500), "unavailable", 3),
        (Reply(status=404), "status", 1),
        (Reply(status=302, headers={"Location": "/y"}), "redirect", 1),
        (Reply(status=307, headers={"Location": "http://127.0.0.1:1/"}), "redirect", 1),
        (Reply(body=bytes(65)), "size", 1),
        (Reply(body=bytes(65), stated=-1), "size", 1),
        (Reply(body=b"x", stated=10**9), "size", 1),
        (Reply(body=b"short", stated=20), "unavailable", 3),
        (Reply(body=b""), "answer", 1),
    ],
)
async def test_refused(reply: Reply, code: str, tries: int) -> None:
    """What is no usable answer has its code, and is asked for as often as it deserves."""
    vendor = Vendor(otherwise=reply)
    with pytest.raises(FetchError) as caught:
        await ask(vendor)
    assert caught.value.code == f"collateral.fetch.{code}"
    assert [path for path, _, _ in vendor.asked] == ["/x"] * tries


async def test_outage() -> None:
    """A silent server and a closed port are unavailable."""
    with pytest.raises(FetchError, match="2 tries"):
        await ask(Vendor(silent=True), Limits(timeout_s=0.05, tries=2, backoff_s=0.001))
    vendor = Vendor()
    async with serving(vendor):
        pass
    async with Fetcher(QUICK) as fetcher:
        with pytest.raises(FetchError, match="3 tries"):
            await fetcher.fetch(question(vendor))


async def test_chain_header() -> None:
    """The issuer chain is decoded from its header; anything but PEM is refused."""
    pem = "-----BEGIN%20CERTIFICATE-----%0Aqq"
    vendor = Vendor(otherwise=Reply(body=b"{}", headers={"tcb-info-issuer-chain": pem}))
    answer = await ask(vendor, chain="TCB-Info-Issuer-Chain")
    assert answer == Answer(body=b"{}", chain=b"-----BEGIN CERTIFICATE-----\nqq")
    with pytest.raises(FetchError, match="not PEM"):
        await ask(Vendor(otherwise=Reply(body=b"{}", headers={"C": "%00"})), chain="C")
    assert await ask(Vendor(otherwise=Reply(body=b"{}")), chain="C") == Answer(body=b"{}")


async def test_ocsp_is_posted() -> None:
    """A question with a body is posted with OCSP's media type, and the cache knows its body."""
    vendor = Vendor(otherwise=Reply(body=b"yes"))
    async with serving(vendor), Fetcher(QUICK) as fetcher:
        first = Request(role=Role.OCSP, url=vendor.base, media_type=OCSP_RESPONSE, body=b"1")
        await fetcher.fetch(first)
    assert vendor.asked[0][1]["content-type"] == "application/ocsp-request"
    assert vendor.asked[0][2] == b"1"
    other = Request(role=Role.OCSP, url=vendor.base, media_type=OCSP_RESPONSE, body=b"2")
    assert first.key != other.key


async def test_proxy_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured proxy is used; one in the environment is not."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    proxy, vendor = Vendor(otherwise=Reply(body=b"proxied")), Vendor(otherwise=Reply(body=b"own"))
    async with serving(proxy), serving(vendor):
        async with Fetcher(Limits(proxies={"all://": proxy.base})) as fetcher:
            assert await fetcher.fetch(question(vendor)) == Answer(body=b"proxied")
        assert proxy.asked[0][0] == f"{vendor.base}/x"
        async with Fetcher(QUICK) as fetcher:
            assert await fetcher.fetch(question(vendor)) == Answer(body=b"own")


async def test_per_host_limit() -> None:
    """No more questions are under way at one host than configured."""
    vendor = Vendor(otherwise=Reply(body=b"yes"), slow_s=0.01)
    async with serving(vendor), Fetcher(Limits(per_host=2)) as fetcher:
        await asyncio.gather(*(fetcher.fetch(question(vendor, f"/{at}")) for at in range(8)))
    assert vendor.most == 2
