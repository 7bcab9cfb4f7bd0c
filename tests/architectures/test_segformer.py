"""SegFormer: checkpoints of three namings, and the decoder's shortcut against the paper's order."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from maskwright.architectures import segformer
from maskwright.core.errors import ConfigError, ModelFileError

TRANSFORMERS_5 = {
    r"^encoder\.stages\.": "segformer.stages.",
    r"\.embed\.": ".patch_embeddings.proj.",
    r"\.embed_norm\.": ".patch_embeddings.layer_norm.",
    r"(stages\.\d)\.norm\.": r"\1.layer_norm.",
    r"\.attention_norm\.": ".layernorm_before.",
    r"\.mlp_norm\.": ".layernorm_after.",
    r"\.attention\.(query|key|value|out)\.": lambda m: f".attention.{m[1][0]}_proj.",
    r"\.reduce\.": ".sequence_reduction.sequence_reduction.",
    r"\.reduce_norm\.": ".sequence_reduction.layer_norm.",
    r"\.mlp\.expand\.": ".mlp.fc1.",
    r"\.mlp\.mix\.": ".mlp.dwconv.dwconv.",
    r"\.mlp\.project\.": ".mlp.fc2.",
    r"^decoder\.project\.(\d)\.": r"decode_head.linear_projections.\1.proj.",
    r"^decoder\.fuse\.": "decode_head.linear_fuse.",
    r"^decoder\.norm\.": "decode_head.batch_norm.",
    r"^decoder\.classify\.": "decode_head.classifier.",
}
TRANSFORMERS_4 = TRANSFORMERS_5 | {
    r"^encoder\.stages\.(\d)\.blocks\.": r"segformer.encoder.block.\1.",
    r"^encoder\.stages\.(\d)\.embed\.": r"segformer.encoder.patch_embeddings.\1.proj.",
    r"^encoder\.stages\.(\d)\.embed_norm\.": r"segformer.encoder.patch_embeddings.\1.layer_norm.",
    r"^encoder\.stages\.(\d)\.norm\.": r"segformer.encoder.layer_norm.\1.",
    r"\.attention_norm\.": ".layer_norm_1.",
    r"\.mlp_norm\.": ".layer_norm_2.",
    r"\.attention\.(query|key|value)\.": r".attention.self.\1.",
    r"\.attention\.out\.": ".attention.output.dense.",
    r"\.attention\.reduce\.": ".attention.self.sr.",
    r"\.attention\.reduce_norm\.": ".attention.self.layer_norm.",
    r"\.mlp\.expand\.": ".mlp.dense1.",
    r"\.mlp\.project\.": ".mlp.dense2.",
    r"^decoder\.project\.(\d)\.": r"decode_head.linear_c.\1.proj.",
}
# more particular rules first
TRANSFORMERS_4 = dict(sorted(TRANSFORMERS_4.items(), key=lambda rule: -len(rule[0])))
AUTHORS = {
    r"^encoder\.stages\.(\d)\.blocks\.": lambda m: f"backbone.block{int(m[1]) + 1}.",
    r"^encoder\.stages\.(\d)\.embed\.": lambda m: f"backbone.patch_embed{int(m[1]) + 1}.proj.",
    r"^encoder\.stages\.(\d)\.embed_norm\.": lambda m: f"backbone.patch_embed{int(m[1]) + 1}.norm.",
    r"^encoder\.stages\.(\d)\.norm\.": lambda m: f"backbone.norm{int(m[1]) + 1}.",
    r"\.attention_norm\.": ".norm1.",
    r"\.mlp_norm\.": ".norm2.",
    r"\.attention\.query\.": ".attn.q.",
    r"\.attention\.key_value\.": ".attn.kv.",
    r"\.attention\.out\.": ".attn.proj.",
    r"\.attention\.reduce\.": ".attn.sr.",
    r"\.attention\.reduce_norm\.": ".attn.norm.",
    r"\.mlp\.expand\.": ".mlp.fc1.",
    r"\.mlp\.mix\.": ".mlp.dwconv.dwconv.",
    r"\.mlp\.project\.": ".mlp.fc2.",
    r"^decoder\.project\.(\d)\.": lambda m: f"decode_head.linear_c{int(m[1]) + 1}.proj.",
    r"^decoder\.fuse\.": "decode_head.linear_fuse.conv.",
    r"^decoder\.norm\.": "decode_head.linear_fuse.bn.",
    r"^decoder\.classify\.": "decode_head.linear_pred.",
}
NAMINGS = {
    "transformers 5": TRANSFORMERS_5,
    "transformers 4": TRANSFORMERS_4,
    "authors": AUTHORS,
}


def renamed(weights, rules):
    """Our names -> a reference's, written apart from `from_reference`."""
    if rules is not AUTHORS:
        for name in [name for name in weights if ".key_value." in name]:
            key, value = weights[name].chunk(2)
            weights |= {name.replace("key_value", "key"): key}
            weights |= {name.replace("key_value", "value"): value}
            del weights[name]
    out = {}
    for name, tensor in weights.items():
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        out[name] = tensor
    return out


@pytest.mark.parametrize("naming", NAMINGS)
def test_checkpoints_of_every_naming_load(naming):
    network = segformer.tiny(5)
    theirs = renamed(dict(network.state_dict()), NAMINGS[naming])
    assert not any(name.startswith(("encoder.", "decoder.")) for name in theirs)
    theirs["decode_head.conv_seg.weight"] = torch.zeros(5, 128, 1, 1)
    ours = segformer.from_reference(theirs)
    assert ours.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("naming", NAMINGS)
def test_names_of_the_deepest_variant_map(naming):
    with torch.device("meta"):
        network = segformer.SegFormer(segformer.SIZES[5])
    theirs = renamed(dict(network.state_dict()), NAMINGS[naming])
    assert segformer.from_reference(theirs).keys() == network.state_dict().keys()


def test_two_namings_in_one_checkpoint_are_refused():
    network = segformer.tiny(5)
    theirs = {}
    for rules in NAMINGS.values():
        theirs |= renamed(dict(network.state_dict()), rules)
    with pytest.raises(ModelFileError, match="one naming"):
        segformer.from_reference(theirs)


def test_decoder_equals_the_papers_order():
    """Equation 4 as it is written: project, enlarge, concatenate (deepest first), fuse."""
    torch.manual_seed(0)
    decoder = segformer.tiny(5).eval().double().decoder
    features = [
        torch.randn(2, width, *size, dtype=torch.float64)
        for width, size in zip((16, 24, 32, 48), ((17, 25), (9, 13), (5, 7), (3, 4)))
    ]
    with torch.no_grad():
        enlarged = [
            F.interpolate(project(stage.movedim(1, -1)).movedim(-1, 1), (17, 25), mode="bilinear")
            for stage, project in zip(features, decoder.project)
        ]
        fused = decoder.fuse(torch.cat(enlarged[::-1], dim=1))
        wanted = decoder.classify(F.relu(decoder.norm(fused)))
        torch.testing.assert_close(decoder(features), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"widths": (32, 64)}, "4 positive entries in widths"),
        ({"heads": (3, 2, 5, 8)}, "multiples"),
    ],
)
def test_contradicting_sizes_are_told(sizes, text):
    with pytest.raises(ConfigError, match=text):
        segformer.SegFormerConfig(**sizes)
