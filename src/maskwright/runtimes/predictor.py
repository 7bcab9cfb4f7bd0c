"""`Predictor`: image -> `Segmentation`, whatever runs the network.

The ONNX Runtime and OpenVINO sessions and the torch network each bring a `run`; all that happens
before and after it stands here once, so that what is scored is what is shipped.

Legend of shape suffixes: B batch (1), H W the network's input, K slots of objects, h w the masks'
stride of that input, C classes. Of probabilities: K classes, h w what the image fills of the input.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.card import ModelCard
from maskwright.core.errors import ConfigError, DataError, ModelFileError
from maskwright.core.mask import Mask
from maskwright.core.resize import (
    Geometry,
    NearestPlan,
    content_of,
    restore_boxes,
    restore_class_map,
    restore_probabilities,
)
from maskwright.core.segmentation import Instance, Label, Segmentation
from maskwright.refine import STEPS, Refinement, most_probable
from maskwright.runtimes.masks import restore_masks
from maskwright.runtimes.outputs import check_outputs
from maskwright.runtimes.pixels import ColourOrder, read_pixels

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""uint8 RGB [1, 3, H, W], or as the card's pixels tell -> the outputs that the network has:

    class_map           [1, H, W]  uint8 class ids
    probabilities       [1, K, H, W]  float32, of each class; only where the graph has them
    boxes               [1, K, 4]  float x1, y1, x2, y2 in pixels of the input
    scores, class_ids   [1, K]     empty slots score 0
    masks               [1, K, h, w]  {0, 1} or probabilities, over the whole input
    labels              [1, C]     image-level scores 0..1

The arrays may be reused by the next call.
"""


_NO_PROBABILITIES = np.empty((0, 0, 0), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbabilisticAnswer:
    """What a network sees, and the probabilities behind it.

    Attributes:
        found: the answer of `Predictor.predict`.
        probabilities_Khw: float32 0..1, of the part of the network's input that the image fills
            (without a letterbox's border), refined where the predictor refines; over the classes
            they sum to 1. `found` is their argmax.
        geometry: where the image lies in the input; h w is its `content`.
    """

    found: Segmentation
    probabilities_Khw: np.ndarray
    geometry: Geometry

    def restored(self) -> np.ndarray:
        """The probabilities in the image's pixels, float32 [K, H, W]: bilinear.

        They are smoother than `found`, whose class map is brought there by nearest neighbour.
        """
        return restore_probabilities(self.probabilities_Khw, self.geometry)


class Predictor:
    """A network that is ready to use.

    Attributes:
        card: the model's card: classes, resize, thresholds, what was measured.
        runtime: facts on what runs the network: name, version, threads, precision, processor.
        gives_probabilities: whether `predict_probabilities` can be asked. A bundle's graph has them
            only if it was exported with them.
        refinement: how answers are improved by what the image shows: the card's postprocess step,
            until another one, or None, is set.

    Buffers are kept between calls. Calls from several threads wait for each other; for throughput
    load one predictor a thread.

    Raises:
        ModelFileError: the card names a postprocess step that isn't known here, or can't be done.
    """

    def __init__(
        self,
        card: ModelCard,
        run: Run,
        runtime: Mapping[str, Any],
        *,
        run_probabilities: Run | None = None,
    ) -> None:
        self.card = card
        self.runtime = dict(runtime)
        self.gives_probabilities = run_probabilities is not None
        self._run = run
        self._run_probabilities = run_probabilities
        self._lock = threading.Lock()
        height, width = card.resize.size
        channels, dtype = card.pixels.channels, card.pixels.dtype
        self._resized_HW3 = np.empty((height, width, channels), dtype)
        self._input_B3HW = np.empty((1, channels, height, width), dtype)
        self._planes = [self._input_B3HW[0, channel] for channel in range(channels)]
        self._swapped = [*self._planes[2::-1], *self._planes[3:]]
        self._nearest: tuple[Geometry, NearestPlan] | None = None
        self.refinement = _refinement_of(card)

    @property
    def refinement(self) -> Refinement | None:
        """How answers are improved by what the image shows.

        Raises:
            ConfigError: set on a model that answers no class map.
        """
        return self._refinement

    @refinement.setter
    def refinement(self, refinement: Refinement | None) -> None:
        """Set it, or switch it off."""
        if refinement is not None and "semantic" not in self.card.tasks:
            raise ConfigError(
                f"{refinement.name} refines class maps, but {self.card.name} answers "
                f"{', '.join(self.card.tasks)}; leave it out."
            )
        self._refinement = refinement

    def predict(
        self,
        image: Path | str | np.ndarray,
        colour_order: ColourOrder = "rgb",
        score_threshold: float | None = None,
        out: Segmentation | None = None,
    ) -> Segmentation:
        """What the network sees in an image, in the pixels of that image.

        Args:
            image: a path; or uint8 or uint16 [H, W, 3] in `colour_order`, [H, W, 4] with alpha
                (dropped), [H, W] grey. A model for other images than RGB of 8 bits takes exactly
                what its card's `pixels` tell, the first three channels in `colour_order`.
            colour_order: of an array: "rgb", or "bgr" as OpenCV reads. A file knows its own.
            score_threshold: objects and labels below it are left out; the card's unless given.
            out: an earlier answer for an image of this size, which is no longer needed: its class
                map and times are overwritten. A network that answers a class map only then
                returns `out` itself, and from the second frame of uint8 [H, W, 3] on allocates no
                arrays. Objects and labels come in a new answer that holds the same class map.

        Returns:
            The parts that the card's tasks name; `times` tells the seconds for "read",
            "preprocess", "network" and "postprocess".

        Raises:
            DataError: no image, or an array of another type or shape; an `out` of another size
                or model.
            ConfigError: an unknown colour order.
            ModelFileError: the graph answers something else than the card promises.
        """
        run = self._run
        if self._refinement is not None and self._run_probabilities is not None:
            run = self._run_probabilities
        return self._answer(run, image, colour_order, score_threshold, out, probabilities=False)[0]

    def predict_probabilities(
        self, image: Path | str | np.ndarray, colour_order: ColourOrder = "rgb"
    ) -> ProbabilisticAnswer:
        """What the network sees in an image and the probability of every class at every pixel.

        Args:
            image: as of `predict`.
            colour_order: as of `predict`.

        Returns:
            Arrays of its own, which no later call overwrites.

        Raises:
            ConfigError: the model gives no probabilities (`gives_probabilities` tells), or an
                unknown order.
            DataError: as of `predict`.
            ModelFileError: probabilities of other classes or of another size than the card's.
        """
        if self._run_probabilities is None:
            raise ConfigError(
                f"expected a model that gives probabilities, but {self.card.name} was exported "
                "without; export it with --probabilities."
            )
        found, geometry, probabilities_Khw = self._answer(
            self._run_probabilities, image, colour_order, None, None, probabilities=True
        )
        return ProbabilisticAnswer(
            found=found, probabilities_Khw=probabilities_Khw, geometry=geometry
        )

    def _answer(
        self,
        run: Run,
        image: Path | str | np.ndarray,
        colour_order: ColourOrder,
        score_threshold: float | None,
        out: Segmentation | None,
        *,
        probabilities: bool,
    ) -> tuple[Segmentation, Geometry, np.ndarray]:
        started = time.perf_counter()
        pixels = read_pixels(image, colour_order, self.card.pixels)
        swap = colour_order == "bgr" and isinstance(image, np.ndarray)
        threshold = self.card.score_threshold if score_threshold is None else score_threshold
        if out is not None:
            refuse_out(out, pixels.shape[:2], self.card)
        with self._lock:
            read = time.perf_counter()
            geometry = self._fill_input(pixels, swap)
            prepared = time.perf_counter()
            outputs = run(self._input_B3HW)
            check_outputs(outputs, self.card)
            answered = time.perf_counter()
            probabilities_Khw = _NO_PROBABILITIES
            if self._refinement is not None:
                outputs, probabilities_Khw = self._refined(self._refinement, outputs, geometry)
            elif probabilities:
                probabilities_Khw = self._probabilities(outputs, geometry)
            semantic = self._class_map(outputs, geometry, None if out is None else out.semantic)
            parts = self._parts(outputs, geometry, threshold)
            done = time.perf_counter()
        times = {} if out is None else out.times
        times["read"] = read - started
        times["preprocess"] = prepared - read
        times["network"] = answered - prepared
        times["postprocess"] = done - answered
        if out is not None and out.semantic is semantic and not parts:
            return out, geometry, probabilities_Khw
        found = Segmentation(
            size=geometry.source,
            classes=self.card.classes,
            semantic=semantic,
            times=times,
            **parts,
        )
        return found, geometry, probabilities_Khw

    def _fill_input(self, pixels: np.ndarray, swap: bool) -> Geometry:
        fits = pixels.shape[:2] == self.card.resize.size
        resized_HW3, geometry = self.card.resize.apply(
            pixels, out=None if fits else self._resized_HW3
        )
        # Channels are resized alike, so it is cheaper to swap them here, on the smaller image.
        planes = self._swapped if swap else self._planes
        if len(planes) > 1:
            cv2.split(resized_HW3, planes)
        else:
            np.copyto(planes[0], resized_HW3[:, :, 0])
        return geometry

    def _refined(
        self, refinement: Refinement, outputs: Mapping[str, np.ndarray], geometry: Geometry
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The outputs with a refined class map, and the refined probabilities [K, h, w].

        What the image fills of the network's frame is refined, by that part of the resized image.
        """
        image_hw3 = cv2.merge([content_of(plane_HW, geometry) for plane_HW in self._planes])
        image_hw3 = self.card.pixels.viewable(np.atleast_3d(image_hw3))
        class_map_BHW = outputs["class_map"].copy()
        ids_hw = content_of(class_map_BHW[0], geometry)
        if "probabilities" in outputs:
            probabilities_Khw = refinement.refine(self._probabilities(outputs, geometry), image_hw3)
        else:
            probabilities_Khw = refinement.refine_labels(ids_hw, len(self.card.classes), image_hw3)
        ids_hw[...] = most_probable(probabilities_Khw)
        return {**outputs, "class_map": class_map_BHW}, probabilities_Khw

    def _class_map(
        self, outputs: Mapping[str, np.ndarray], geometry: Geometry, out: np.ndarray | None
    ) -> np.ndarray | None:
        if "class_map" not in outputs:
            return None
        kind = np.uint8 if self.card.classes.void == 255 else np.uint16
        class_map_HW = outputs["class_map"][0].astype(kind, copy=False)
        if out is None:
            out = np.empty(geometry.source, kind)
        return restore_class_map(class_map_HW, geometry, out, self._plan(geometry, kind))

    def _probabilities(self, outputs: Mapping[str, np.ndarray], geometry: Geometry) -> np.ndarray:
        probabilities_BKHW = outputs["probabilities"]
        expected = (1, len(self.card.classes), *self.card.resize.size)
        if probabilities_BKHW.shape != expected:
            raise ModelFileError(
                f"{self.card.name}: the card promises probabilities of shape {expected}, the graph "
                f"gives {probabilities_BKHW.shape}; export the model again."
            )
        content_Khw = content_of(probabilities_BKHW[0], geometry)
        return np.array(content_Khw, np.float32, order="C")

    def _plan(self, geometry: Geometry, kind: type) -> NearestPlan | None:
        """Kept while the images keep their size."""
        if geometry.source == geometry.content:
            return None
        if self._nearest is None or self._nearest[0] != geometry:
            self._nearest = geometry, NearestPlan(geometry.content, geometry.source, kind)
        return self._nearest[1]

    def _parts(
        self, outputs: Mapping[str, np.ndarray], geometry: Geometry, threshold: float
    ) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if "boxes" in outputs:
            parts["instances"] = self._instances(outputs, geometry, threshold)
        if "labels" in outputs:
            parts["labels"] = tuple(
                Label(class_id=class_id, score=float(score))
                for class_id, score in enumerate(outputs["labels"][0])
                if score >= threshold
            )
        return parts

    def _instances(
        self, outputs: Mapping[str, np.ndarray], geometry: Geometry, threshold: float
    ) -> tuple[Instance, ...]:
        scores_K = outputs["scores"][0]
        boxes_K4 = restore_boxes(outputs["boxes"][0], geometry)
        has_area = (boxes_K4[:, 2] > boxes_K4[:, 0]) & (boxes_K4[:, 3] > boxes_K4[:, 1])
        found = np.flatnonzero((scores_K >= threshold) & (scores_K > 0) & has_area)
        masks: list[Mask] | None = None
        if "masks" in outputs:
            masks = restore_masks(
                [outputs["masks"][0][slot] for slot in found.tolist()],
                self.card.resize.size,
                self.card.mask_threshold,
                geometry,
            )
        left, top, right, bottom = boxes_K4.T.tolist()
        return tuple(
            Instance(
                class_id=int(outputs["class_ids"][0, slot]),
                box_xyxy=(left[slot], top[slot], right[slot], bottom[slot]),
                mask=None if masks is None else masks[number],
                score=float(scores_K[slot]),
            )
            for number, slot in enumerate(found.tolist())
        )


def _refinement_of(card: ModelCard) -> Refinement | None:
    step = card.postprocess
    if step is None:
        return None
    if step.name not in STEPS:
        raise ModelFileError(
            f"{card.name} names the postprocess step {step.name!r}, and this Maskwright knows "
            f"{', '.join(STEPS)}; run pip install --upgrade maskwright."
        )
    try:
        return Refinement.of(step.name, step.parameters)
    except ConfigError as error:
        raise ModelFileError(
            f"{card.name} names a postprocess step that can't be done ({error}); run pip install "
            "--upgrade maskwright, or export the model again."
        ) from error


def refuse_out(out: Segmentation, size: tuple[int, ...], card: ModelCard) -> None:
    """Check that an earlier answer can be written over.

    Raises:
        DataError: it is of another size or model, or its class map can't be written.
    """
    if out.size != size or out.classes != card.classes:
        raise DataError(
            f"expected out to be this model's answer for an image of {size} (height, width), "
            f"got {len(out.classes)} classes and {out.size}; leave out= away for the first "
            "frame of a size."
        )
    if out.semantic is not None and not out.semantic.flags.carray:
        raise DataError(
            "expected out.semantic to be writeable and contiguous, as predict returns it, got "
            f"strides {out.semantic.strides}, writeable {out.semantic.flags.writeable}."
        )
