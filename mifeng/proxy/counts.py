"""What the proxy has done, as numbers for a monitoring system.

Source: Prometheus text exposition format 0.0.4.
"""

from collections import Counter
from typing import Final, Literal

Outcome = Literal["verified", "refused", "unverified", "cancelled"]
_HELP: Final = {
    "mifeng_proxy_requests_total": "Requests by API and how they ended.",
    "mifeng_proxy_verified_total": "Answers whose receipt was verified.",
    "mifeng_proxy_attestations_total": "Rounds of attestation in the background, by outcome.",
    "mifeng_proxy_attested_until_seconds": "When the trust in a model's nodes ends, Unix time.",
}
_GAUGE: Final = "mifeng_proxy_attested_until_seconds"


class Counts:
    """Counters of one process."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, Outcome]] = Counter()
        self._attestations: Counter[str] = Counter()
        self._until: dict[str, int] = {}

    def ended(self, api: str, outcome: Outcome) -> None:
        """Count one request."""
        self._requests[api, outcome] += 1

    def attested(self, model: str, until: int | None) -> None:
        """Count one renewal; None if it failed."""
        self._attestations["passed" if until else "failed"] += 1
        if until:
            self._until[model] = until

    @property
    def verified(self) -> int:
        """Answers whose receipt was verified."""
        return sum(n for (_, outcome), n in self._requests.items() if outcome == "verified")

    def text(self) -> str:
        """Return everything in the exposition format."""
        rows = {
            "mifeng_proxy_requests_total": {
                f'{{api="{api}",outcome="{outcome}"}}': count
                for (api, outcome), count in sorted(self._requests.items())
            },
            "mifeng_proxy_verified_total": {"": self.verified},
            "mifeng_proxy_attestations_total": {
                f'{{outcome="{outcome}"}}': count
                for outcome, count in sorted(self._attestations.items())
            },
            _GAUGE: {
                f'{{model="{_escaped(model)}"}}': until
                for model, until in sorted(self._until.items())
            },
        }
        lines = []
        for name, values in rows.items():
            lines.append(f"# HELP {name} {_HELP[name]}")
            lines.append(f"# TYPE {name} {'gauge' if name == _GAUGE else 'counter'}")
            lines += [f"{name}{labels} {value}" for labels, value in values.items()]
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
