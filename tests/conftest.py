"""Fixtures that every test may ask for."""

from __future__ import annotations

from tests.support.models import r1_nano, smollm2

__all__ = ["r1_nano", "smollm2"]
