"""Checkpoints: what is saved is rebuilt; what is none is refused with a reason."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from standin import RECORD, Standin, StandinConfig, make_card, make_network

from maskwright.architectures import checkpoint
from maskwright.architectures.checkpoint import (
    METADATA_KEY,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from maskwright.core.card import FORMAT_VERSION
from maskwright.core.errors import MaskwrightError, ModelFileError


@pytest.fixture(autouse=True)
def _standin_is_known(monkeypatch):
    monkeypatch.setattr(checkpoint, "ARCHITECTURES", {"standin": RECORD})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, make_network(), make_card())
    return path


def rewrite(path: Path, tensors=None, **changes) -> None:
    """Write the file again with other tensors or other entries in its card."""
    with safetensors.safe_open(path, "pt") as file:
        card = json.loads(file.metadata()[METADATA_KEY]) | changes
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata = {METADATA_KEY: json.dumps(card)}
    safetensors.torch.save_file(kept if tensors is None else tensors(kept), path, metadata)


def test_a_network_comes_back_equal(tmp_path):
    config = StandinConfig(classes=3, width=6, dilations=((1, 1), (2, 1)))
    network = Standin(config).to(memory_format=torch.channels_last)
    path = tmp_path / "new folder" / "last.safetensors"
    card = make_card(network)
    save_checkpoint(path, network.train(), card)
    found, found_card = load_checkpoint(path)
    assert found.config == config
    mean, std = network.normalisation
    wanted = replace(card, mean=mean, std=std)
    assert found_card.to_dict() == json.loads(json.dumps(wanted.to_dict()))
    assert not found.training
    assert network.training
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    wanted = network.eval().deploy(images)["class_map"]
    assert torch.equal(found.deploy(images)["class_map"], wanted)
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_a_loaded_network_trains_on(saved):
    network, _ = load_checkpoint(saved)
    outputs = network.train()(torch.rand(2, 3, 32, 32))
    outputs["logits"].square().mean().backward()
    torch.optim.SGD(network.parameters(), 0.1).step()


def test_saving_does_not_touch_the_network_nor_share_its_memory(saved):
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_checkpoint(saved, network, make_card())
    found, _ = load_checkpoint(saved)
    with torch.no_grad():
        found.head.weight.zero_()
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_tied_tensors_can_be_saved(tmp_path):
    network = make_network()
    network.branches[1][0].weight = network.branches[0][0].weight
    save_checkpoint(tmp_path / "tied.safetensors", network, make_card())
    assert load_checkpoint(tmp_path / "tied.safetensors")[0] is not None


def test_the_card_is_read_without_building(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "ARCHITECTURES", {})
    assert read_card(saved).classes.names == ("grass", "line", "ball")


def test_buffers_outside_of_the_state_dict_have_their_values(saved, monkeypatch):
    class WithTable(Standin):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("table", torch.arange(5), persistent=False)

    record = replace(RECORD, network=WithTable)
    monkeypatch.setattr(checkpoint, "ARCHITECTURES", {"standin": record})
    network, _ = load_checkpoint(saved)
    assert network.table.tolist() == [0, 1, 2, 3, 4]
    assert network.mean.flatten()[0] == pytest.approx(0.485)
    assert torch.equal(network.head.weight, make_network().head.weight)


def test_pretrained_weights_are_not_asked_for(saved, monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class PretrainedConfig(StandinConfig):
        pretrained: bool = False

    class Pretrained(Standin):
        def __init__(self, config):
            assert not config.pretrained
            super().__init__(config)

    record = replace(RECORD, network=Pretrained, config=PretrainedConfig())
    monkeypatch.setattr(checkpoint, "ARCHITECTURES", {"standin": record})
    rewrite(saved, config=asdict(PretrainedConfig(pretrained=True)))
    assert load_checkpoint(saved)[0].config == PretrainedConfig()


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        load_checkpoint(tmp_path / "nothing.safetensors")
    with pytest.raises(ModelFileError, match="could not read"):
        load_checkpoint(tmp_path)


def test_other_files_are_told(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"w": torch.ones(1)}, path)
    with pytest.raises(ModelFileError, match="no checkpoint of Maskwright"):
        load_checkpoint(path)
    path.write_text("text")
    with pytest.raises(ModelFileError, match="no checkpoint of Maskwright"):
        load_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="empty"):
        load_checkpoint(path)


def test_safetensors_without_a_card_are_told(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match=r"weights .* but no card"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_every_truncation_is_refused(saved):
    data = saved.read_bytes()
    for length in range(1, len(data), 211):
        saved.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            load_checkpoint(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "newer Maskwright"),
        ({"format_version": "one"}, "no card"),
        ({"classes": None}, "damaged card"),
        ({"architecture": "hologram"}, "'hologram', which this version lacks; it has standin"),
        ({"config": {"depth": 3}}, "can't be built.*depth"),
        ({"config": {"width": "wide"}}, "can't be built.*wide"),
        ({"config": {"width": 16}}, "other tensors"),
        ({"config": {"classes": 7}}, "other tensors"),
    ],
)
def test_cards_that_do_not_fit_are_told(saved, changes, message):
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match=message):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: dict(list(tensors.items())[1:]),
        lambda tensors: tensors | {"extra": torch.ones(1)},
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {"head.weight": torch.ones(1)},
    ],
)
def test_other_tensors_are_told(saved, change):
    rewrite(saved, change)
    with pytest.raises(ModelFileError, match="other tensors"):
        load_checkpoint(saved)


def test_weights_that_are_no_numbers_are_told(saved):
    tensors = safetensors.torch.load_file(saved)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    wide = {key: t.double() if t.is_floating_point() else t for key, t in tensors.items()}
    rewrite(saved, lambda _: wide)
    network, _ = load_checkpoint(saved)
    assert {t.dtype for t in network.state_dict().values()} <= {torch.float32, torch.int64}
    broken = {**tensors, name: torch.full_like(tensors[name], float("nan"))}
    rewrite(saved, lambda _: broken)
    with pytest.raises(ModelFileError, match=f"numbers in {name} that are not finite"):
        load_checkpoint(saved)


def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch):
    before = saved.read_bytes()
    real = Path.write_bytes

    def full(self, data):
        real(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MaskwrightError, match="No space left"):
        save_checkpoint(saved, make_network(seed=9), make_card())
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_what_images_are_normalised_with_comes_back(saved):
    network = make_network()
    network.normalise_by((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    save_checkpoint(saved, network, make_card())
    found, card = load_checkpoint(saved)
    assert (card.mean, card.std) == found.normalisation == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert torch.equal(found.mean, network.mean)
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    by_hand = (images / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.4, 0.5, 0.6]
    ).view(3, 1, 1)
    torch.testing.assert_close(found.normalise(images), by_hand)


def test_older_programs_refuse_what_they_would_normalise_otherwise(saved):
    def version():
        with safetensors.safe_open(saved, "pt") as file:
            return json.loads(file.metadata()[METADATA_KEY])["format_version"]

    assert version() == 1
    network = make_network()
    network.normalise_by((0.5,) * 3, (0.5,) * 3)
    save_checkpoint(saved, network, make_card())
    assert version() == FORMAT_VERSION
    again, card = load_checkpoint(saved)
    save_checkpoint(saved, again, card)
    assert version() == FORMAT_VERSION


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": [0.5] * 3, "std": [0.5] * 4},
        {"mean": [0.5] * 3, "std": [0.5, 0.5, 0.0]},
        {"mean": 3, "std": [0.5] * 3},
        {"mean": ["grey"] * 3, "std": [0.5] * 3},
    ],
)
def test_a_damaged_normalisation_is_told(saved, wrong):
    rewrite(saved, **wrong)
    with pytest.raises(ModelFileError, match=str(saved)):
        load_checkpoint(saved)
