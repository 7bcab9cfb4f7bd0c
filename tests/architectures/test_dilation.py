"""Dilation: margins, the identity that context starts as, the authors' sizes, both runtimes."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from on_runtimes import assert_agree

from maskwright.architectures import ARCHITECTURES, dilation
from maskwright.core.errors import ConfigError

SMALL = dilation.tiny(3).config
NAMES = [f"dilation{suffix}" for suffix in dilation.VARIANTS]


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_networks_have_the_authors_margin(name):
    with torch.device("meta"):
        network = ARCHITECTURES[name].network(ARCHITECTURES[name].config)
        scores = network.front_end(torch.empty(1, 3, 372 + 40, 372 + 64))
    assert network.margin == 186
    assert scores.shape[-2:] == (5, 8)


CONTEXTS = {  # the layers' names in the authors' files, from the image's side on
    "dilation-frontend": [],
    "dilation7": ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "fc1"],
    "dilation8": ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1", "fc1"],
    "dilation8-large": ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1", "fc1"],
    "dilation10": ["conv1_1", "conv1_2", *(f"conv{n}_1" for n in range(2, 8)), "fc1"],
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_each_of_the_authors_files_map(name):
    with torch.device("meta"):
        network = ARCHITECTURES[name].network(ARCHITECTURES[name].config)
    voc = network.config.classes == 21
    prefix, final = ("ct", "fc-final") if voc else ("ctx", "final")
    theirs = {}
    for key, tensor in network.state_dict().items():
        key = re.sub(
            r"^front_end\.stages\.(\d)\.(\d)\.conv",
            lambda m: f"conv{int(m[1]) + 1}_{int(m[2]) + 1}",
            key,
        )
        key = re.sub(
            r"^context\.layers\.(\d)\.conv",
            lambda m: f"{prefix}_{CONTEXTS[name][int(m[1])]}",
            key,
        )
        key = key.replace("context.project", f"{prefix}_final").replace("enlarge", "ctx_upsample")
        key = key.replace("front_end.classify", final).replace("front_end.", "")
        theirs[re.sub(r"^(fc\d)\.conv", r"\1", key)] = tensor
    ours = dilation.from_reference(theirs)
    own = network.state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in own.items()
    }


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (5, 9)])
@pytest.mark.parametrize("changes", [{}, {"context_pads_once": True}, {"depths": (1, 2, 1, 2, 3)}])
def test_any_image_is_answered(size, changes):
    network = dilation.Dilation(dataclasses.replace(SMALL, **changes)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size))["logits"].shape == (1, 3, *size)


def test_the_front_end_is_trained_by_its_own_scores_too():
    network = dilation.tiny(3)
    assert set(network(torch.rand(2, 3, 64, 64))) == {"logits", "front_end"}
    alone = dataclasses.replace(SMALL, context_dilations=(), context_multiples=())
    assert set(dilation.Dilation(alone)(torch.rand(2, 3, 64, 64))) == {"logits"}


def test_both_runtimes_agree_on_an_enlargement_that_is_not_learned():
    torch.manual_seed(0)
    network = dilation.Dilation(dataclasses.replace(SMALL, learned_enlargement=False))
    assert_agree(network, torch.randint(0, 256, (1, 3, 45, 61), dtype=torch.uint8))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"context_dilations": (1, 2)}, "as many context_multiples"),
        ({"fc_kernel": 4}, "odd fc_kernel, got .* and 4"),
        ({"context_dilations": (1, 1, 0, 1)}, "positive context_dilations"),
    ],
)
def test_contradicting_sizes_are_told(sizes, text):
    with pytest.raises(ConfigError, match=text):
        dataclasses.replace(SMALL, **sizes)
