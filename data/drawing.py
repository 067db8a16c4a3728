"""Characters drawn from matplotlib's own fonts: the data set that needs no file and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from data.dataset import DataError, Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

# Text fonts of matplotlib only: its symbol fonts hold other pictures at the letters' codes.
# Computer Modern does so outside of letters and digits ("<" is an inverted exclamation mark).
COMPUTER_MODERN = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10")
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Ita", "BolIta")),
    *COMPUTER_MODERN,
)
FILL = 0.68  # the longest side of the largest character, as a fraction of the image's side
ROTATION = math.radians(15)  # largest turn to either side
SHEAR = 0.2  # largest shear to either side, pixels a pixel
SCALE = (0.8, 1.1)  # stretch, drawn for each axis by itself
SHIFT = 0.08  # largest move along each axis, as a fraction of the image's side


def glyphs(
    n: int = 1000,
    classes: Sequence[str] = "0123456789",
    size: int = 28,
    seed: int = 0,
    noise: float = 0.05,
    *,
    affine: bool = True,
    shift: float | None = None,
) -> Dataset:
    """Draw n characters, images (n, 1, size, size), white (1) on black (0).

    classes  the characters, "0123456789" or ["a", "ß"]; labels index into them. Each run of
             len(classes) images holds every class once, in random order: classes are balanced
    noise    standard deviation of the Gaussian noise on each pixel, before clipping to [0, 1]
    affine   turn (15 degrees), shear (0.2), stretch (0.8 to 1.1) and move each character by chance;
             False leaves it upright and centred, with the font still chosen by chance
    shift    largest move along each axis, as a fraction of `size`; default 0.08, or 0 without
             affine

    Same arguments, same bytes. A larger n only adds images: the first ones stay as they are.
    Raises DataError for arguments without meaning and for a character that no font has.
    """
    import numpy as np

    _check(n, classes, size, noise)
    masters = _masters(tuple(classes), size)
    shift = (SHIFT if affine else 0.0) if shift is None else shift

    # One stream for each purpose, so that `noise` or `affine` change nothing else.
    order, choice, move, grain = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    rounds = math.ceil(n / len(classes))
    labels = order.random((rounds, len(classes))).argsort(axis=1, kind="stable").reshape(-1)[:n]
    fonts = choice.random(n)
    maps = _maps(move.random((n, 6)), affine=affine, shift=shift)

    images = np.empty((n, 1, size, size), dtype=np.float32)
    for i, label in enumerate(labels):
        variants = masters[label]
        master = variants[int(fonts[i] * len(variants))]
        images[i, 0] = _draw(master, maps[i], size)
    images /= 255
    if noise:
        images += noise * grain.standard_normal(images.shape, dtype=np.float32)
        np.clip(images, 0, 1, out=images)
    return Dataset(
        images=images,
        labels=labels.astype(np.int64),
        class_names=tuple(classes),
        source="drawn from matplotlib's bundled fonts (DejaVu, STIX, Computer Modern; free "
        f"licences), seed {seed}",
    )


def _check(n: int, classes: Sequence[str], size: int, noise: float) -> None:
    if n < 1:
        raise DataError(f"glyphs: n (={n}) must be at least 1")
    if size < 4:
        raise DataError(f"glyphs: size (={size}) must be at least 4 pixels")
    if not noise >= 0:
        raise DataError(f"glyphs: noise (={noise}) must not be negative")
    if not classes or len(set(classes)) != len(classes):
        raise DataError(f"glyphs: classes (={classes!r}) must be different characters, at least 1")
    for name in classes:
        if len(name) != 1 or not name.isprintable() or name.isspace():
            raise DataError(f"glyphs: class {name!r} is not one visible character")


def _maps(u: NDArray[np.float64], *, affine: bool, shift: float) -> NDArray[np.float64]:
    """Maps (N, 2, 3) from an image to its master, both on [-1/2, 1/2]^2, of u (N, 6) in [0, 1)."""
    import numpy as np

    signed = 2 * u - 1
    maps = np.zeros((len(u), 2, 3))
    if affine:
        angle, shear = ROTATION * signed[:, 0], SHEAR * signed[:, 1]
        low, high = SCALE
        width, height = (1 / (low + (high - low) * u[:, k]) for k in (2, 3))
        # image -> master is the inverse of (turn . shear . stretch).
        cos, sin = np.cos(angle), np.sin(angle)
        maps[:, 0, 0], maps[:, 0, 1] = width * (cos + shear * sin), width * (sin - shear * cos)
        maps[:, 1, 0], maps[:, 1, 1] = -height * sin, height * cos
    else:
        maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, :, 2] = -np.einsum("nij,nj->ni", maps[:, :, :2], shift * signed[:, 4:6])
    return maps


def _draw(master: Picture, affine: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The master (R, R), R a multiple of size, seen through one map (2, 3): (size, size) uint8."""
    import numpy as np
    from PIL import Image

    side = master.width
    linear, offset = affine[:, :2], affine[:, 2]
    centre = side / 2
    # Pillow maps the centre of an output pixel, (x + 1/2, y + 1/2), to a point of the input.
    a, b = linear[0]
    d, e = linear[1]
    c, f = centre + side * offset - linear.sum(axis=1) * centre
    turned = master.transform(
        (side, side), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
    )
    return np.asarray(turned.reduce(side // size))


@lru_cache(maxsize=8)
def _masters(classes: tuple[str, ...], size: int) -> tuple[tuple[Picture, ...], ...]:
    """For each class its pictures (R, R), one for each font that has the character."""
    side = size * max(2, math.ceil(64 / size))  # finer than the images, for smooth edges
    masters: list[list[Picture]] = [[] for _ in classes]
    for name in FONTS:
        path = _font_folder() / f"{name}.ttf"
        if not path.exists():
            continue  # another version of matplotlib
        pictures = _font_masters(path, [c for c in classes if _has(path, c)], side)
        for character, variants in zip(classes, masters, strict=True):
            if character in pictures:
                variants.append(pictures[character])
    for character, variants in zip(classes, masters, strict=True):
        if not variants:
            raise DataError(f"glyphs: no font of matplotlib draws {character!r}")
    return tuple(tuple(variants) for variants in masters)


def _font_masters(path: Path, characters: Sequence[str], side: int) -> dict[str, Picture]:
    """Centred pictures (side, side) in one scale: the largest character fills FILL of the side."""
    from PIL import Image, ImageDraw, ImageFont

    def draw(points: float) -> dict[str, Picture]:
        """The characters' ink, nothing around it; a font may hold a character and draw nothing."""
        # The basic layout is the same on every machine; the other needs an optional library.
        font = ImageFont.truetype(path, points, layout_engine=ImageFont.Layout.BASIC)
        pictures = {}
        for character in characters:
            paper = Image.new("L", (3 * side, 3 * side))
            ImageDraw.Draw(paper).text((side, side), character, fill=255, font=font)
            box = paper.getbbox()
            if box:
                pictures[character] = paper.crop(box)
        return pictures

    longest = max((max(picture.size) for picture in draw(side).values()), default=0)
    if not longest:
        return {}
    pictures = {}
    for character, ink in draw(side * FILL * side / longest).items():
        pictures[character] = Image.new("L", (side, side))
        pictures[character].paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return pictures


def _has(path: Path, character: str) -> bool:
    """Whether the font draws this character, and not another in its place."""
    if path.stem in COMPUTER_MODERN and not (character.isascii() and character.isalnum()):
        return False
    return ord(character) in _characters(path)


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=len(FONTS))
def _characters(path: Path) -> frozenset[int]:
    """The code points that a font has a picture for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(path)).get_charmap())
