"""Bundle -> prediction, without torch: the `.mask` file, ONNX Runtime, OpenVINO, the predictor.

`load(path).predict(image)` is all that a robot needs, `stream(camera, predictor)` keeps up with its
camera, `Tiled(predictor)` answers images much larger than the network's input; `Predictor` takes
any `run`, so that training and export score through the very code that ships. The runtimes are
imported when one is opened.
"""

from __future__ import annotations

from maskwright.runtimes.bundle import Bundle, read_bundle, write_bundle
from maskwright.runtimes.loading import load, open_bundle
from maskwright.runtimes.pixels import ColourOrder
from maskwright.runtimes.predictor import Predictor, ProbabilisticAnswer, Run
from maskwright.runtimes.stream import Stream, StreamResult, stream
from maskwright.runtimes.tiling import Tiled
from maskwright.runtimes.zoo import BUNDLED, bundled

__all__ = [
    "BUNDLED",
    "Bundle",
    "ColourOrder",
    "Predictor",
    "ProbabilisticAnswer",
    "Run",
    "Stream",
    "StreamResult",
    "Tiled",
    "bundled",
    "load",
    "open_bundle",
    "read_bundle",
    "stream",
    "write_bundle",
]
