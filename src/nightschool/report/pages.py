"""The page itself: one file of HTML with its style inside, no script, nothing from elsewhere.

Notes are hostile: every value is escaped, and the page forbids itself scripts and all that would be
fetched, so a note that is shown in it cannot call anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from nightschool import __version__
from nightschool.report import drawing, words

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MADE: list[Environment] = []


def draw(view: Mapping[str, Any]) -> str:
    """The whole page of what `view.gather` found."""
    tone, word, sentence = words.ending(view)
    exams = view["exams"]
    return _environment().get_template("report.html").render(
        view=view, tone=tone, word=word, sentence=sentence, policy=POLICY, made_by=__version__,
        curve=drawing.curve(view["curve"]["losses"]),
        intervals=drawing.intervals(exams["figures"]),
        style=_read("report.css"),
    )  # fmt: skip


def _environment() -> Environment:
    """The templates and what they can do; made once, at the first page."""
    if not _MADE:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup

        made = Environment(
            loader=FunctionLoader(_read),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {
            "number": words.number, "duration": words.duration, "size": words.size,
            "when": words.when, "css": Markup,
        }  # fmt: skip
        made.globals |= {
            "plural": words.plural, "change": words.change, "PROBES": words.PROBES,
            "FORMS": words.FORMS, "CHANGES": words.CHANGES, "FIELD": drawing,
        }  # fmt: skip
        _MADE.append(made)
    return _MADE[0]


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
