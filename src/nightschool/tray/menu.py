"""The menu under the icon. Its items read the newest view each time the menu is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nightschool.tray.view import View

if TYPE_CHECKING:
    from pystray import Menu

PAUSE_MIN = 60
Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Verbs:
    """What the items do; none of them may block."""

    learn: Act
    pause: Act
    resume: Act
    allow: Act
    rollback: Act
    open: Act
    start: Act
    quit: Act


def build(view: Callable[[], View], verbs: Verbs) -> Menu:
    """The menu. Rolling back takes two steps: what it would serve stands in a menu of its own."""
    from pystray import Menu, MenuItem

    def item(
        text: str | Callable[[], str], act: Act | None = None, **when: Callable[[], bool]
    ) -> MenuItem:
        def asked(ask: Callable[[], bool]) -> Callable[[Any], bool]:
            return lambda _item: ask()

        shown = {name: asked(ask) for name, ask in when.items()}
        words = text if isinstance(text, str) else _asked(text)
        if act is None:
            return MenuItem(words, _nothing, **{**shown, "enabled": lambda _item: False})
        return MenuItem(words, _chosen(act), **shown)

    return Menu(
        item(lambda: view().why),
        item(lambda: view().exam, visible=lambda: view().running),
        Menu.SEPARATOR,
        item("Start the service", verbs.start, visible=lambda: not view().running),
        item("Learn now", verbs.learn, enabled=lambda: view().may_learn),
        item(
            "Pause for an hour",
            verbs.pause,
            enabled=lambda: view().may_pause,
            visible=lambda: not view().paused_min,
        ),
        item("Resume", verbs.resume, visible=lambda: view().paused_min > 0),
        item(
            "Learn by itself at night",
            verbs.allow,
            checked=lambda: view().allowed,
            enabled=lambda: view().running,
        ),
        MenuItem(
            "Roll back",
            Menu(item(lambda: view().rollback or "There is nothing to go back to", verbs.rollback)),
            enabled=lambda _item: bool(view().rollback),
        ),
        Menu.SEPARATOR,
        MenuItem(
            "Open",
            lambda _icon, _item: verbs.open(),
            default=True,
            enabled=lambda _item: view().running,
        ),
        item("Quit (the service goes on)", verbs.quit),
    )


def _asked(text: Callable[[], str]) -> Callable[[object], str]:
    return lambda _item: text()


def _chosen(act: Act) -> Callable[[object, object], None]:
    return lambda _icon, _item: act()


def _nothing(_icon: object, _item: object) -> None:
    """A line that only tells something."""
