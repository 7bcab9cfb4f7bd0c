"""The card that travels with weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from maskwright.core.card import FORMAT_VERSION, ModelCard, Modification, Postprocess
from maskwright.core.classes import Classes
from maskwright.core.errors import ModelFileError
from maskwright.core.resize import Resize

CARD = ModelCard(
    name="pitch",
    architecture="unet",
    config={"width": 8, "stages": [1, 2]},
    classes=Classes.of(["field", "ball"], things=[1]),
    tasks=("semantic", "boxes"),
    resize=Resize(size=(96, 128), mode="letterbox"),
    score_threshold=0.4,
    measured={"mIoU": 0.7},
    training={"steps": 10},
    licence="Apache-2.0",
    version="0.1.0",
)


def plain():
    return json.loads(json.dumps(CARD.to_dict()))


def test_round_trip_through_json():
    assert ModelCard.from_dict(plain()) == CARD


def test_a_postprocess_step_goes_along():
    step = Postprocess(name="dense-crf", parameters={"iterations": 3, "cell": 0.5})
    card = replace(CARD, postprocess=step)
    data = json.loads(json.dumps(card.to_dict()))
    assert ModelCard.from_dict(data) == card
    assert ModelCard.from_dict(plain()).postprocess is None


def test_modifications_go_along_in_their_order():
    changes = (
        Modification(name="keep-channels", parameters={"layers": {"stem": {"out": [0, 2]}}}),
        Modification(name="fuse-batch-norm", parameters={"pairs": [["stem", "norm"]]}),
    )
    card = replace(CARD, modifications=changes)
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert ModelCard.from_dict(plain()).modifications == ()
    assert changes[0] != Postprocess(name=changes[0].name, parameters=changes[0].parameters)


def test_only_cards_that_older_programs_would_misread_are_of_the_new_format():
    """They would leave the step out, and answer otherwise than what was measured."""
    assert plain()["format_version"] == 1
    assert not {"postprocess", "modifications"} & set(plain())
    card = replace(CARD, postprocess=Postprocess(name="dense-crf"))
    assert card.to_dict()["format_version"] == 2
    card = replace(CARD, modifications=(Modification(name="keep-channels"),))
    assert card.to_dict()["format_version"] == 3
    for resize in (Resize(size=(8, 8), mode="pad"), Resize(size=(8, 8), border="mirror")):
        card = replace(CARD, resize=resize)
        assert card.to_dict()["format_version"] == FORMAT_VERSION
        assert ModelCard.from_dict(card.to_dict()).resize == resize


def test_a_newer_card_is_refused_with_both_versions():
    newer = plain() | {"format_version": FORMAT_VERSION + 1}
    with pytest.raises(ModelFileError, match=rf"a\.mask.*format {FORMAT_VERSION + 1}.*upgrade"):
        ModelCard.from_dict(newer, "a.mask")


@pytest.mark.parametrize("data", [{}, [], "card", None, {"format_version": "1"}])
def test_what_is_no_card_is_refused(data):
    with pytest.raises(ModelFileError, match=r"a\.mask holds no card"):
        ModelCard.from_dict(data, "a.mask")


@pytest.mark.parametrize("entry", [key for key in CARD.to_dict() if key != "format_version"])
def test_a_missing_entry_is_told(entry):
    damaged = plain()
    del damaged[entry]
    with pytest.raises(ModelFileError, match=f"damaged card.*{entry}"):
        ModelCard.from_dict(damaged, "a.mask")


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": None},
        {"classes": {"names": ["a", "a"]}},
        {"classes": {"names": ["a"], "colours": [[1, 2]]}},
        {"resize": {"size": [3]}},
        {"resize": {"size": [0, 3]}},
        {"resize": {"size": [3, 3], "sharpness": 1}},
        {"resize": []},
        {"tasks": None},
        {"config": 3},
        {"mask_threshold": "half"},
        {"measured": [1]},
        {"postprocess": "dense-crf"},
        {"postprocess": {"name": "dense-crf"}},
        {"postprocess": {"name": 3, "parameters": {}}},
        {"postprocess": {"name": "dense-crf", "parameters": [3]}},
        {"modifications": 3},
        {"modifications": ["keep-channels"]},
        {"modifications": [{"name": "keep-channels"}]},
    ],
)
def test_a_malformed_entry_is_told(wrong):
    with pytest.raises(ModelFileError, match="damaged card"):
        ModelCard.from_dict(plain() | wrong, "a.mask")


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("tasks", []), ("tasks", ["segments"]), ("tasks", "semantic"), ("tasks", [["semantic"]]),
        ("mask_threshold", float("nan")), ("score_threshold", -0.1), ("score_threshold", 10**400),
        ("score_threshold", 1e300), ("name", None), ("architecture", 3), ("licence", ["x"]),
        ("version", None), ("config", {"width": 10**9}), ("config", {"stages": [1, [2**40]]}),
        ("config", {"encoder": {"depth": 10**400}}), ("mean", [0.5, float("nan"), 0.5]),
        ("std", [1, float("inf"), 1]), ("classes", None), ("classes", {"names": [None]}),
        ("classes", {"names": []}), ("resize", {"size": [10**400, 5]}), ("resize", None),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_told(entry, wrong):
    with pytest.raises(ModelFileError, match="damaged card"):
        ModelCard.from_dict(plain() | {entry: wrong})


@pytest.mark.parametrize(("width", "allowed"), [(65536, True), (65537, False), (-65537, False)])
def test_whole_numbers_of_a_configuration_are_bounded(width, allowed):
    data = plain() | {"config": {"parts": [{"width": width}]}}
    if allowed:
        assert ModelCard.from_dict(data).config == data["config"]
    else:
        with pytest.raises(ModelFileError, match="expected whole numbers up to 65536 in config"):
            ModelCard.from_dict(data)
