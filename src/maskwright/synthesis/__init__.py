"""Generated scenes -> samples: the embedded default, a football pitch seen by a moving camera.

`pitch_scene(seed, size)` gives one image with truth exact to the pixel, `pitch_sequence` the frames
of a moving camera; `draw_scene` and `render` are their two halves. Needs numpy and OpenCV only.
"""

from __future__ import annotations

from maskwright.synthesis.markings import FIELDS, FieldSize
from maskwright.synthesis.pitch import (
    PITCH_CLASSES,
    pitch_scene,
    pitch_sequence,
    render,
)
from maskwright.synthesis.scene import PitchConfig, PitchScene, draw_scene

__all__ = [
    "FIELDS",
    "PITCH_CLASSES",
    "FieldSize",
    "PitchConfig",
    "PitchScene",
    "draw_scene",
    "pitch_scene",
    "pitch_sequence",
    "render",
]
