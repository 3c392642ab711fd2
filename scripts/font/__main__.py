"""Make the font of the pages: python scripts/font FILE.woff2

Inter (SIL Open Font License 1.1) comes from PyPI with every writing system and size. The pages need the Latin
letters and some signs, in one size and the weights 400 to 700: 34 kB instead of 877 kB. The packages are
installed into a temporary folder, so that the environment of dockerfw does not contain them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# Basic Latin, Latin-1 and Latin Extended-A, punctuation and spaces, then the signs that pages use.
RANGES = ((0x20, 0x7E), (0xA0, 0x17F), (0x2010, 0x2027), (0x2190, 0x2199))
SIGNS = "\u202f‰‹›⁄€−≠≤≥▲▶▸▼▾●✓✗⌘⇧⏎"
# Kerning, ligatures and marks, figures of equal width, and the forms that dockerfw.css turns on.
FEATURES = ["kern", "liga", "calt", "ccmp", "locl", "mark", "mkmk", "tnum", "case", "cv05", "ss03"]
AXES = {"opsz": 14, "wght": (400, 700)}


def make_font(target: Path) -> None:
    """Write the subset of Inter; the packages of requirements.txt must be importable."""
    import fontpkg_inter
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from fontTools.varLib.instancer import instantiateVariableFont

    # Without the time of this run, so that equal packages make an equal file.
    font = TTFont(fontpkg_inter.ROOT / "files" / "Inter[opsz,wght].ttf", recalcTimestamp=False)
    reduced = subset.Subsetter(subset.Options(layout_features=FEATURES, hinting=False))
    letters = [code for first, last in RANGES for code in range(first, last + 1)]
    reduced.populate(unicodes=[*letters, *map(ord, SIGNS)])
    reduced.subset(font)
    font = instantiateVariableFont(font, AXES)
    font.flavor = "woff2"
    target.parent.mkdir(parents=True, exist_ok=True)
    font.save(target)


def main() -> None:
    """Fetch the packages with the pip of this Python, and make the font."""
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/font FILE.woff2")
    with tempfile.TemporaryDirectory() as packages:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", packages, "-r", str(REQUIREMENTS)], check=True)
        sys.path.insert(0, packages)
        make_font(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
