"""The shipped profiles: files in config/profiles, beside the package when it is installed."""

from __future__ import annotations

import functools
from pathlib import Path

from nightschool.errors import NightschoolError


@functools.cache
def profile_file(name: str) -> str:
    """The text of a profile. Raises NightschoolError when the installation is incomplete."""
    return shipped(f"profiles/{name}.toml")


def shipped(name: str) -> str:
    """A file of `config/`, from the wheel or from the clone."""
    packaged = Path(__file__).parent / "shipped" / name
    clone = Path(__file__).parents[3] / "config" / name
    for place in (packaged, clone):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise NightschoolError(f"The file {name} is missing.", "Install Nightschool again.")
