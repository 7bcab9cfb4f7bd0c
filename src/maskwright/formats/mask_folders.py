"""Where images and their masks lie, in the layouts that tools and data sets use; `index_masks`
reads them.

    train/images + train/masks, images/train + masks/train, images + masks      ours and many others
    images/training + annotations/training                                      ADE20K
    img_dir/train + ann_dir/train                                               MMSegmentation
      with a_leftImg8bit.png and a_gtFine_labelTrainIds.png                     its Cityscapes
    train + trainannot, train + train_labels                                    CamVid
    train/a.jpg beside train/a_mask.png                                         Roboflow
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from maskwright.formats import folders

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
"""Of files that can hold ids without a loss."""

NAME_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_L", "_annotation")
"""What a mask's name may have behind that of its image."""

EXCHANGED_ENDINGS = (
    ("_leftImg8bit", "_gtFine_labelTrainIds"),
    ("_leftImg8bit", "_gtCoarse_labelTrainIds"),
)
"""(of an image's name, of its mask's)."""

_PAIRS = (
    ("images", "masks"),
    ("images", "annotations"),
    ("img_dir", "ann_dir"),
    ("imgs", "masks"),
    ("image", "mask"),
    ("image", "label"),
    ("images", "labels"),
)
_BESIDE = ("annot", "_annot", "_labels", "_masks", "_mask", "_label", "labels", "masks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The folders of a split.

    Attributes:
        images: that of the photos.
        masks: that of the masks; it may be the same.
    """

    images: Path
    masks: Path

    @property
    def together(self) -> bool:
        """Whether masks lie beside their images, told by the ends of their names."""
        return self.images == self.masks


def find_places(root: Path) -> dict[str, Place]:
    """Split name -> its folders, train, val, test first; empty where there are no masks."""
    if not root.is_dir():
        return {}
    for images, masks in _PAIRS:
        found = _of_pair(root, images, masks)
        if found:
            return found
    return _beside(root) or _together(root)


def images_of(place: Place) -> dict[str, list[Path]]:
    """Name -> image files of a split; masks that lie among them are none."""
    found = folders.group_images(place.images)
    if not place.together:
        return found
    return {name: paths for name, paths in found.items() if _stem(name, found) == name}


def masks_of(place: Place, images: Iterable[str]) -> dict[str, Path]:
    """Name of an image -> its mask; a mask that has no image stands under its own name.

    Args:
        place: of the split.
        images: names of its images.
    """
    names = set(images)
    files = {
        path.relative_to(place.masks).with_suffix("").as_posix(): path
        for path in sorted(place.masks.rglob("*"))
        if path.suffix.lower() in MASK_SUFFIXES and not path.name.startswith(".")
    }
    if place.together:
        files = {name: path for name, path in files.items() if _stem(name, names) != name}
    drawn = {name: path for name, path in files.items() if name in names and not place.together}
    for name, path in files.items():
        if name in drawn:
            continue  # an image of the very name goes before one whose name it has with an ending
        stem = _stem(name, names)
        drawn[stem if stem in names and stem not in drawn else name] = path
    return drawn


def _stem(name: str, images: Iterable[str]) -> str:
    """A mask's name without its ending, where an image is called so."""
    endings = [("", end) for end in NAME_ENDINGS]
    known = images if isinstance(images, set | dict) else set(images)
    stems = (
        name.removesuffix(end) + own
        for own, end in (*endings, *EXCHANGED_ENDINGS)
        if name.endswith(end)
    )
    return next((stem for stem in stems if stem in known), name)


def _of_pair(root: Path, images: str, masks: str) -> dict[str, Place]:
    """images/SPLIT with masks/SPLIT, images/ with masks/, or SPLIT/images/ with SPLIT/masks/."""
    whole = Place(images=root / images, masks=root / masks)
    if not _holds(whole):
        inside = {
            child.name: place
            for child in folders.subfolders(root)
            if _holds(place := Place(images=child / images, masks=child / masks))
        }
        return _in_order(inside)
    inner = {
        child.name: Place(images=child, masks=whole.masks / child.name)
        for child in folders.subfolders(whole.images)
        if child.name.lower() in folders.SPLIT_NAMES and (whole.masks / child.name).is_dir()
    }
    return _in_order(inner) if inner else {folders.NO_SPLIT: whole}


def _holds(place: Place) -> bool:
    """Whether both folders are there; under names that others use too, whether masks are."""
    if not (place.images.is_dir() and place.masks.is_dir()):
        return False
    return place.masks.name == "masks" or _has_mask(place.masks)


def _has_mask(folder: Path) -> bool:
    return any(path.suffix.lower() in MASK_SUFFIXES for path in folder.rglob("*"))


def _beside(root: Path) -> dict[str, Place]:
    """train/ with trainannot/ or train_labels/."""
    found = {}
    for child in folders.subfolders(root):
        if child.name.lower() not in folders.SPLIT_NAMES:
            continue
        masks = [root / f"{child.name}{end}" for end in _BESIDE]
        place = next((m for m in masks if m.is_dir() and _has_mask(m)), None)
        if place is not None:
            found[child.name] = Place(images=child, masks=place)
    return _in_order(found)


def _together(root: Path) -> dict[str, Place]:
    """Images with masks beside them, in folders of splits or right in the folder."""
    found = {
        child.name: Place(images=child, masks=child)
        for child in folders.subfolders(root)
        if _mixed(child)
    }
    if found:
        return _in_order(found)
    return {folders.NO_SPLIT: Place(images=root, masks=root)} if _mixed(root) else {}


def _mixed(folder: Path) -> bool:
    """Whether an image of a folder has a mask beside it, and no file of annotations tells more."""
    if any(
        path.suffix.lower() in (".json", ".xml") and path.name != "classes.json"
        for path in folder.iterdir()
    ):
        return False
    names = {path.stem for path in folder.iterdir() if path.is_file()}
    return any(
        path.suffix.lower() in MASK_SUFFIXES and _stem(path.stem, names) != path.stem
        for path in folder.iterdir()
    )


def _in_order(places: Mapping[str, Place]) -> dict[str, Place]:
    names = folders.name_splits(places)
    return {names[folder]: places[folder] for folder in folders.split_order(names)}
