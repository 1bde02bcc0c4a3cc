"""Text as a picture, for games that draw themselves in characters."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT, _MARGIN, _SIZE = (
    14,
    22,
    8,
    18,
)  # pixels: of a character's cell, around all, of type


def picture_of(text: str) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, 3) of lines of text, each character in a cell of its own."""
    lines = text.splitlines() or [""]
    columns = max(map(len, lines))
    size = (columns * _WIDTH + 2 * _MARGIN, len(lines) * _HEIGHT + 2 * _MARGIN)
    canvas = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_SIZE)
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            at = (_MARGIN + column * _WIDTH, _MARGIN + row * _HEIGHT)
            pen.text(at, character, fill="black", font=font)
    return np.asarray(canvas)
