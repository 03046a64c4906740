"""Draws the four faces: a moon, a mortarboard, a clock, an exclamation mark in a triangle.

Light shapes on a dark tile show on light and dark panels; each state has its own shape, so that it
is told without its colour, also at 16 pixels.
"""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from nightschool.tray.view import Face

SIZE = 64
"""Pixels of a side; panels scale it to 16 to 48."""
_GRID = 512
"""Drawn this large, then made small: Pillow's shapes have hard edges."""
_TILE = (34, 48, 79, 255)
_MOON = (243, 210, 122, 255)
_CAP = (255, 255, 255, 255)
_TASSEL = (243, 210, 122, 255)
_CLOCK = (172, 205, 250, 255)
_SIGN = (255, 176, 59, 255)


def draw(face: Face, size: int = SIZE) -> Image.Image:
    """The icon as an RGBA image of `size` × `size` pixels."""
    image = Image.new("RGBA", (_GRID, _GRID), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, _GRID - 1, _GRID - 1), radius=110, fill=_TILE)
    {
        Face.IDLE: _moon,
        Face.LEARNING: _cap,
        Face.WAITING: _clock,
        Face.TROUBLE: _sign,
    }[face](pen)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _moon(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((86, 76, 436, 426), fill=_MOON)
    pen.ellipse((186, 20, 496, 330), fill=_TILE)


def _cap(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon(((140, 262), (372, 262), (372, 372), (256, 422), (140, 372)), fill=_CAP)
    pen.polygon(((256, 90), (486, 208), (256, 326), (26, 208)), fill=_TILE)
    pen.polygon(((256, 114), (452, 208), (256, 302), (60, 208)), fill=_CAP)
    pen.line(((256, 208), (428, 250), (428, 356)), fill=_TASSEL, width=30, joint="curve")
    pen.ellipse((398, 346, 458, 426), fill=_TASSEL)


def _clock(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((70, 70, 442, 442), outline=_CLOCK, width=52)
    middle = 256
    for angle, length in ((-90.0, 132.0), (25.0, 104.0)):
        turn = math.radians(angle)
        tip = (middle + length * math.cos(turn), middle + length * math.sin(turn))
        pen.line(((middle, middle), tip), fill=_CLOCK, width=46)
    pen.ellipse((226, 226, 286, 286), fill=_CLOCK)


def _sign(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon(((256, 62), (474, 436), (38, 436)), fill=_SIGN)
    pen.rounded_rectangle((228, 180, 284, 326), radius=26, fill=_TILE)
    pen.ellipse((224, 348, 288, 412), fill=_TILE)
