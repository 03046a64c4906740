"""Tell the user of a promotion: the one thing of a night that changes what answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from nightschool.config import Desktop
from nightschool.device import desktop
from nightschool.errors import NightschoolError

_LOG = logging.getLogger("nightschool.daemon")


def announcing(settings: Desktop) -> Callable[[dict[str, Any]], None]:
    """What to call with a night that was promoted; blocks for seconds at worst, never raises."""

    def announce(night: dict[str, Any]) -> None:
        if not settings.notify:
            return
        try:
            desktop.show(*sentence(night))
            _LOG.info("The desktop was told of version %s.", night.get("version"))
        except NightschoolError as error:
            _LOG.info("The desktop was not told of the promotion: %s", error)

    return announce


def sentence(night: dict[str, Any]) -> tuple[str, str]:
    """Title and text of the notification: which version, why, and how to take it back."""
    reason = str(night.get("message") or "").strip()
    return (
        f"Nightschool: version {night.get('version')} is served",
        f"It passed its exams (to take it back: nightschool rollback). {reason}".strip(),
    )
