"""How an operator configures collateral: section `collateral` of the gateway's file.

Source: docs/collateral.md §6.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .fetch import Fetcher, Limits
from .sources import Urls
from .staple import Stapler, Timing
from .store import Store

_Url = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
_VENDORS = Urls()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VendorUrls(_Strict):
    """The vendors' services, or mirrors of them."""

    intel: _Url = _VENDORS.intel
    intel_root_crl: _Url = _VENDORS.intel_root_crl
    amd: _Url = _VENDORS.amd
    hygon: _Url = _VENDORS.hygon
    nvidia_rim: _Url = _VENDORS.nvidia_rim
    nvidia_ocsp: _Url = _VENDORS.nvidia_ocsp


class CollateralConfig(_Strict):
    """Whether and how the gateway asks vendors."""

    directory: Path
    """Where answers are kept; one gateway's own."""
    urls: VendorUrls = VendorUrls()
    proxies: dict[str, str] = {}
    """`all://`, `https://host` and the like → URL of a proxy."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    refresh_s: Annotated[int, Field(ge=60, le=86_400)] = 3600
    budget_s: Annotated[float, Field(gt=0, le=120)] = 15.0

    def stapler(self) -> tuple[Stapler, Fetcher]:
        """Return a stapler, and the fetcher to close after it."""
        urls = {name: url.rstrip("/") for name, url in self.urls.model_dump().items()}
        urls["nvidia_ocsp"] = self.urls.nvidia_ocsp
        fetcher = Fetcher(Limits(timeout_s=self.timeout_s, tries=self.tries, proxies=self.proxies))
        stapler = Stapler(
            fetcher=fetcher,
            store=Store(self.directory),
            urls=Urls(**urls),
            timing=Timing(refresh_s=self.refresh_s, budget_s=self.budget_s),
        )
        return stapler, fetcher
