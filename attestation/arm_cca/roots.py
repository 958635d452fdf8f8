"""Arm publishes no root for CCA platform keys, so none is pinned.

Every platform has a key of its own (CPAK), endorsed by whoever made the machine. A caller who
knows it hands it in as `cpak`; the tier then says that it was the caller's word.
"""

from typing import Final

ROOTS: Final[tuple[()]] = ()
