"""What a proxy with this configuration trusts, and why, in plain words."""

import time
from dataclasses import dataclass
from typing import Final

from mifeng.client import AsyncClient, ClientConfig
from mifeng.errors import MifengError
from mifeng.protocol.session import TrustedNode

_SUITES: Final = {
    "sm": "sm: SM2, SM3, SM4-GCM (Chinese national standards)",
    "sm-pq": "sm-pq: the same, and ML-KEM-768 against quantum computers",
    "intl": "intl: X25519, AES-256-GCM, Ed25519",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    words: str
    good: bool = True
    """False where a request would be refused now."""


async def check(config: ClientConfig) -> list[Finding]:
    """Return what is trusted and why; asks the gateway and appraises every node it offers.

    Raises:
        UsageError: the configuration is unusable.
    """
    terms = config.terms()
    pin, policy = terms.log, terms.policy
    witnesses = (
        f"{pin.quorum} of {len(pin.witnesses)} witnesses must have signed its state too"
        if pin.quorum
        else "no witness watches it, so answers are marked UNWITNESSED"
    )
    found = [
        Finding(
            subject="gateway",
            words=f"{config.gateway} carries sealed bytes. It cannot read them and is not trusted.",
        ),
        Finding(
            subject="machines",
            words=f"Policy {policy.name} (digest {policy.digest.hex()[:16]}…) decides which "
            "machines may read a request. Each proves with its hardware's signature what it runs.",
        ),
        Finding(
            subject="log",
            words=f"{pin.origin} must have recorded each machine's keys and must promise to record "
            f"each answer; {len(pin.keys)} pinned key(s) check its signature; {witnesses}.",
        ),
        Finding(
            subject="sealing",
            words="; ".join(_SUITES[name] for name in config.suites) + ". The first that fits.",
        ),
        Finding(
            subject="you",
            words=f"tenant {config.tenant}; requests are "
            + ("signed with your own key" if config.client_auth else "not signed by you")
            + " inside the seal.",
        ),
    ]
    async with AsyncClient.from_config(config) as client:
        return found + await _nodes(client)


async def _nodes(client: AsyncClient) -> list[Finding]:
    try:
        models = sorted(await client.models())
    except MifengError as exc:
        return [
            Finding(subject="now", words=f"no machine to ask: {exc.code}: {exc}", good=False),
            *_refused(client),
        ]
    if not models:
        words = "no machine that is offered is acceptable; nothing would be sent"
        return [Finding(subject="now", words=words, good=False)]
    found = []
    for model in models:
        try:
            nodes = await client.attest(model)
        except MifengError as exc:
            found.append(Finding(subject=model, words=f"{exc.code}: {exc}", good=False))
        else:
            found += [Finding(subject=model, words=_node(node)) for node in nodes]
    return found + _refused(client)


def _refused(client: AsyncClient) -> list[Finding]:
    return [
        Finding(subject=each.node_id, words=f"not acceptable: {each.error}", good=False)
        for each in client.refused
    ]


def _node(node: TrustedNode) -> str:
    simulated = " Its silicon is SIMULATED: anyone can forge this." if node.key.simulated else ""
    minutes = max(0, round((node.valid_until - time.time()) / 60))
    return (
        f"served by {node.keyset.node_id}, tier {node.key.tier.label}; its keys "
        f"({node.key.keyset_digest.hex()[:12]}…) are in the log, good for {minutes} min more."
        f"{simulated}"
    )
