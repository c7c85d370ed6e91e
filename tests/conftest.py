"""Fixtures that every test may ask for."""

from __future__ import annotations

from tests.support.models import gemma3, r1_7b, r1_nano, smollm2

__all__ = ["gemma3", "r1_7b", "r1_nano", "smollm2"]
