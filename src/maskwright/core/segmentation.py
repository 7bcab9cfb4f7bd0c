"""`Segmentation`: what is in an image. Ground truth and prediction have this one form."""

from __future__ import annotations

import base64
import html
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.classes import Classes
from maskwright.core.errors import ConfigError, DataError, MaskwrightError
from maskwright.core.files import write_bytes, write_text
from maskwright.core.image import encode_png, write_image
from maskwright.core.object_arrays import ObjectArrays
from maskwright.core.paint import paint
from maskwright.core.palette import index_png
from maskwright.core.parts import Instance, Label, Panoptic
from maskwright.core.plain import parts_of_plain, plain_parts
from maskwright.core.tables import find_pandas, object_rows, region_rows

__all__ = ["Instance", "Label", "Panoptic", "Segmentation"]

if TYPE_CHECKING:
    import pandas
    import supervision

_SHOWN = 4
"""Classes that a short text names."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Segmentation:
    """Ground truth or prediction of one image, in the pixels of that image.

    A part that is None was not labelled or not predicted; an empty tuple says "looked, found none".

    Attributes:
        size: (height, width) of the image.
        classes: names and colours that every id here refers to.
        semantic: class ids [H, W], uint8 with void 255 (uint16 with void 65535 above 255 classes).
        instances: the objects: a tuple, or `ObjectArrays` as a sequence of them.
        panoptic: segment ids where a file brought them.
        labels: classes of the image as a whole.
        extras: what the annotation file tells of the image beyond these, as plain JSON data ("id",
            "license", ...); see `Instance.extras`.
        times: seconds spent on "read", "preprocess", "network", "postprocess" (predictions).

    Raises:
        DataError: the parts contradict `size` or `classes`.
    """

    size: tuple[int, int]
    classes: Classes
    semantic: np.ndarray | None = None
    instances: Sequence[Instance] | None = None
    panoptic: Panoptic | None = None
    labels: tuple[Label, ...] | None = None
    times: dict[str, float] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.semantic is not None:
            self._check_semantic(self.semantic)
        self._check_objects(self.instances or ())
        for label in self.labels or ():
            self._check_class("an image label", label.class_id)
        if self.panoptic is not None:
            self._check_panoptic(self.panoptic)

    def _check_objects(self, objects: Sequence[Instance]) -> None:
        if isinstance(objects, ObjectArrays):
            known = (objects.class_id >= 0) & (objects.class_id < len(self.classes))
            if objects.size == self.size and known.all():
                return
        for number, instance in enumerate(objects):
            if instance.mask is not None and instance.mask.size != self.size:
                raise DataError(
                    f"expected the mask of instance {number} to have the image's size "
                    f"{self.size}, got {instance.mask.size} (height, width)."
                )
            if not 0 <= instance.class_id < len(self.classes):
                self._check_class(f"instance {number}", instance.class_id)

    def _check_class(self, what: str, class_id: int) -> None:
        if not 0 <= class_id < len(self.classes):
            raise DataError(
                f"{what} has class id {class_id}, but there are {len(self.classes)} classes: "
                f"expected 0..{len(self.classes) - 1}."
            )

    def _check_panoptic(self, panoptic: Panoptic) -> None:
        if panoptic.segment_ids.shape != self.size:
            raise DataError(
                f"expected panoptic ids of the image's size {self.size}, "
                f"got {panoptic.segment_ids.shape}."
            )
        for segment, class_id in panoptic.class_of.items():
            self._check_class(f"panoptic segment {segment}", class_id)

    def _check_semantic(self, semantic: np.ndarray) -> None:
        wanted = np.uint8 if self.classes.void == 255 else np.uint16
        if semantic.shape != self.size or semantic.dtype != wanted:
            raise DataError(
                f"expected a class map of size {self.size} and type {np.dtype(wanted)}, got "
                f"{semantic.shape} and {semantic.dtype}."
            )

    def __repr__(self) -> str:
        return f"Segmentation({self.size[0]}x{self.size[1]}, {self._told()})"

    def _told(self) -> str:
        """What is in it, in a few words."""
        told = []
        if self.semantic is not None:
            seen = sorted(self.shares().items(), key=lambda item: -item[1])
            named = [f"{name} {share:.1%}" for name, share in seen if share][:_SHOWN]
            told.append("class map: " + (", ".join(named) or "void"))
        if self.instances is not None:
            told.append(f"{len(self.instances)} objects")
        if self.panoptic is not None:
            told.append(f"{len(self.panoptic.class_of)} panoptic segments")
        for label in self.labels or ():
            told.append(f"label {self.classes.names[label.class_id]}")
        return "; ".join(told) or "nothing"

    def shares(self) -> dict[str, float]:
        """Class name -> share of the image's pixels in the class map; empty where there is none.

        What is missing to 1 is void.
        """
        if self.semantic is None:
            return {}
        counts = np.bincount(self.semantic.ravel(), minlength=len(self.classes))
        return {
            name: int(count) / self.semantic.size for name, count in zip(self.classes.names, counts)
        }

    def draw(
        self,
        image: np.ndarray | None = None,
        *,
        opacity: float | None = None,
        outline: bool = True,
        labels: bool = True,
    ) -> np.ndarray:
        """Draw it on its image, or on black; the image itself is left as it is.

        Class maps tint their pixels (void stays untouched); objects lie above them, the smaller
        above the larger, each in a shade of its class; panoptic segments are drawn where there is
        no other form. Labels that would cover one another are left out, the least confident first.

        Args:
            image: uint8 RGB [H, W, 3] of this size.
            opacity: of the tint, 0 (none) to 1 (the image is hidden); 0.5 unless given, 1 on black.
            outline: trace regions and masks, and draw the boxes of objects without a mask.
            labels: name objects and image labels, with their score.

        Returns:
            uint8 RGB [H, W, 3].

        Raises:
            DataError: the image has another size or type, or an opacity out of range.
        """
        if opacity is None:
            opacity = 1.0 if image is None else 0.5
        if image is None:
            image = np.zeros((*self.size, 3), np.uint8)
        if image.shape != (*self.size, 3) or image.dtype != np.uint8:
            raise DataError(
                f"expected an RGB image uint8 {(*self.size, 3)} for this segmentation, got "
                f"{image.dtype} {image.shape}."
            )
        if not 0 <= opacity <= 1:
            raise DataError(f"expected an opacity from 0 to 1, got {opacity}.")
        return paint(
            image,
            self.classes,
            semantic=self.semantic,
            instances=self.instances,
            panoptic=self.panoptic,
            labels=self.labels,
            opacity=opacity,
            outline=outline,
            named=labels,
        )

    def save(self, path: Path | str, image: np.ndarray | None = None) -> None:
        """Write it to a file, whole or not at all; the suffix says in which form.

        Args:
            path: ".json": everything, as `to_dict`. ".png": the class map, ids as they are, shown
                in the classes' colours. ".jpg": a picture to look at, as `draw`; ".png" too, where
                `image` is given. A warning tells what a class map leaves out.
            image: uint8 RGB [H, W, 3], for the picture.

        Raises:
            ConfigError: another suffix, or an image for ".json".
            DataError: a ".png" without image where there is no class map.
            MaskwrightError: the file can't be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix in {".jpg", ".jpeg"} or (suffix == ".png" and image is not None):
            write_image(path, self.draw(image))
        elif suffix == ".png":
            self._save_class_map(Path(path))
        elif suffix == ".json" and image is None:
            write_text(path, self.to_json() + "\n")
        else:
            raise ConfigError(
                f"expected .json (everything, without image), .png (class map) or .jpg (picture), "
                f"got {path}{'' if image is None else ' with an image'}."
            )

    def _save_class_map(self, path: Path) -> None:
        if self.semantic is None:
            raise DataError(
                f"{path} can hold a class map only, and there is none, but {self._told()}; save a "
                ".json, or a .jpg to look at."
            )
        write_bytes(path, index_png(self.semantic, self.classes))
        left = {"objects": self.instances, "labels": self.labels, "panoptic segments":
                None if self.panoptic is None else self.panoptic.class_of}  # fmt: skip
        told = [f"{len(part)} {name}" for name, part in left.items() if part]
        if told:
            warnings.warn(
                f"{path} holds the class map only; {', '.join(told)} are left out: save a .json.",
                stacklevel=3,
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold; `from_dict` reads it back without a loss.

        Returns:
            "size" [height, width]; "classes"; "times" in seconds; and the parts, None where they
            are None: "semantic", a list of {"id", "mask"}, void being the rest; "instances" as
            {"class_id", "box", "mask", "score", "crowd", "track_id", "area"} and, where there are
            some, "extras", as beside the parts; "panoptic", a list of
            {"id", "class_id", "crowd", "mask"}; "labels" as {"class_id", "score"}. Masks are
            COCO's compressed run lengths (`Mask.from_coco`, pycocotools), boxes xyxy in pixels.
        """
        parts = plain_parts(
            self.semantic, self.classes.void, self.instances, self.panoptic, self.labels
        )
        return {
            "size": list(self.size),
            "classes": self.classes.to_dict(),
            **parts,
            **({"extras": dict(self.extras)} if self.extras else {}),
            "times": {name: float(seconds) for name, seconds in self.times.items()},
        }

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Segmentation:
        """Inverse of `to_dict`: `Segmentation.from_dict(json.loads(text))`.

        Raises:
            DataError: something is missing, damaged, or contradicts the rest.
        """
        try:
            height, width = (int(side) for side in data["size"])
            classes = Classes.from_dict(data["classes"])
            parts = parts_of_plain(data, (height, width), classes.void)
            times = {str(name): float(value) for name, value in data.get("times", {}).items()}
            extras = dict(data.get("extras") or {})
            return cls(size=(height, width), classes=classes, times=times, extras=extras, **parts)
        except MaskwrightError as error:
            raise DataError(f"no segmentation: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"expected a segmentation as to_dict writes it, got {data!r:.80} "
                f"({type(error).__name__}: {error})."
            ) from error

    def to_pandas(self) -> pandas.DataFrame:
        """A table: a row for each class of the class map, each object, segment and image label.

        Returns:
            Columns "part" ("semantic", "instances", "panoptic" or "labels"), "class", "pixels" (of
            an object without mask its box's area), "share" of the image's pixels, "score", and
            "left", "top", "right", "bottom" in pixels; what a row lacks is NaN.

        Raises:
            ConfigError: pandas is not installed.
        """
        rows = region_rows(self.size, self.classes, self.semantic, self.panoptic)
        rows += object_rows(self.size, self.classes, self.instances, self.labels)
        columns = ["part", "class", "pixels", "share", "score", "left", "top", "right", "bottom"]
        table: pandas.DataFrame = find_pandas("to_dict()").DataFrame(rows, columns=columns)
        return table.astype(dict.fromkeys(columns[2:], float))

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows: the masks and boxes on black."""
        return encode_png(self.draw())

    def _repr_html_(self) -> str:
        """The picture, and what is in it."""
        picture = base64.b64encode(self._repr_png_()).decode()
        return (
            f'<figure><img src="data:image/png;base64,{picture}" alt="segmentation">'
            f"<figcaption>{html.escape(repr(self))}</figcaption></figure>"
        )

    def to_supervision(self) -> supervision.Detections:
        """The instances as `supervision.Detections` (needs `pip install supervision`)."""
        import supervision

        found = self.instances or ()
        if not found:
            return supervision.Detections.empty()
        data: dict[str, Any] = {
            "xyxy": np.array([i.box_xyxy for i in found], np.float32),
            "class_id": np.array([i.class_id for i in found]),
            "confidence": np.array(
                [1.0 if i.score is None else i.score for i in found], np.float32
            ),
            "data": {"class_name": np.array([self.classes.names[i.class_id] for i in found])},
        }
        if all(instance.track_id is not None for instance in found):
            data["tracker_id"] = np.array([instance.track_id for instance in found])
        if all(instance.mask is not None for instance in found):
            data["mask"] = np.stack([i.mask.decode() for i in found if i.mask is not None])
        return supervision.Detections(**data)
