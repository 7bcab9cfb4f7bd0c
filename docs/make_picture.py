"""Draws the README's picture: scenes that the demo's model never saw, and what it makes of them.

python docs/make_picture.py demo/pitch.mask docs/images/demo.jpg
"""

from __future__ import annotations

import sys

import numpy as np

from maskwright.core import draw
from maskwright.core.image import write_image
from maskwright.runtimes import load
from maskwright.synthesis import pitch_scene

SEEDS = (900_013, 900_007, 900_022)
"""Far from the demo's own seeds."""


def main(bundle: str, out: str) -> None:
    """Predict each scene, put photo and answer above one another, write the picture."""
    model = load(bundle)
    columns = []
    for seed in SEEDS:
        photo = pitch_scene(seed, (360, 480)).read_image()
        answer = draw.overlay(photo, model.predict(photo), opacity=0.75)
        columns.append(np.vstack([photo, np.full((6, 480, 3), 255, np.uint8), answer]))
    gap = np.full((columns[0].shape[0], 6, 3), 255, np.uint8)
    write_image(out, np.hstack([columns[0], gap, columns[1], gap, columns[2]]))


if __name__ == "__main__":
    main(*sys.argv[1:3])
