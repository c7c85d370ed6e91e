"""Owns finding a profile by its name, and the nearest names when there is none."""

from __future__ import annotations

import difflib
from functools import cache

from localr1.errors import UsageError
from localr1.hardware.amd import amd_cards, ryzen_ai_max
from localr1.hardware.apple import macs
from localr1.hardware.intel import intel_cards
from localr1.hardware.nvidia import nvidia_cards
from localr1.hardware.pc import pcs
from localr1.hardware.profile import Profile

_N_NEAREST = 5


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by name, in the order in which they are listed."""
    cards = (*nvidia_cards(), *amd_cards(), *intel_cards())
    return {profile.name: profile for profile in (*cards, *macs(), *ryzen_ai_max(), *pcs())}


def find_profile(name: str) -> Profile:
    """The profile of that name, in any case, whatever stands between its words.

    The end of a name is enough where only one ends so: `4090`. Raises: UsageError with the nearest
    names.
    """
    wanted = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    found = profiles().get(wanted) or _spelled_alike(wanted.replace("-", ""))
    if found is None:
        nearest = f"nearest: {', '.join(_nearest(wanted))}; " if _nearest(wanted) else ""
        raise UsageError(
            f"no profile is called {name}",
            hint=f"{nearest}localr1 devices --profiles lists all",
        )
    return found


def _spelled_alike(letters: str) -> Profile | None:
    """The profile of this name without hyphens, else the only one that ends so."""
    by_letters = {name.replace("-", ""): profile for name, profile in profiles().items()}
    ending = [by_letters[known] for known in by_letters if known.endswith(letters)]
    return by_letters.get(letters) or (ending[0] if letters and len(ending) == 1 else None)


def _nearest(wanted: str) -> list[str]:
    """Names that contain what was written, `m1-max` in `m1-max-64gb`; else those spelled alike."""
    containing = [name for name in profiles() if wanted in name]
    return containing[:_N_NEAREST] or difflib.get_close_matches(
        wanted, profiles(), n=_N_NEAREST, cutoff=0.5
    )
