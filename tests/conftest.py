"""Fixtures that every test may ask for, and patience for busy machines."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

from tests.support.models import gemma3, r1_7b, r1_nano, smollm2

__all__ = ["gemma3", "r1_7b", "r1_nano", "smollm2"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # whoever started us in the background ignores it, and our children would, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure then comes from a change. New ones are looked for with
#   pytest --hypothesis-profile=search --randomly-seed=$RANDOM
# How fast examples are made says nothing about the code, only about the neighbours.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("repeatable")
