"""The bundle: whole and equal when written, refused with a reason when it is anything else."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from standin import make_card

from maskwright.core.card import FORMAT_VERSION
from maskwright.core.errors import MaskwrightError, ModelFileError
from maskwright.runtimes import bundle as bundle_module
from maskwright.runtimes import read_bundle, write_bundle

GRAPH = bytes(range(256)) * 8


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "model.mask"
    write_bundle(path, make_card(), GRAPH)
    return path


def card_bytes(**changes) -> bytes:
    return json.dumps(make_card().to_dict() | changes).encode()


def make_zip(path: Path, members, method=zipfile.ZIP_STORED) -> Path:
    """A zip of (name or ZipInfo, content) pairs."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_what_is_written_is_read_back(tmp_path):
    card = make_card()
    path = tmp_path / "new folder" / "model.mask"
    size = write_bundle(path, card, GRAPH, {"model.xml": b"<net/>", "model.bin": b"\0\1"})
    bundle = read_bundle(path)
    assert bundle.card == card.__class__.from_dict(json.loads(json.dumps(card.to_dict())))
    assert bundle.card.classes == card.classes
    assert bundle.graph == GRAPH
    assert bundle.openvino == {"model.xml": b"<net/>", "model.bin": b"\0\1"}
    assert bundle.bytes_on_disk == size == path.stat().st_size


def test_equal_inputs_give_equal_bytes(tmp_path, monkeypatch):
    write_bundle(tmp_path / "a.mask", make_card(), GRAPH, {"b.bin": b"1", "a.xml": b"2"})
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_bundle(tmp_path / "b.mask", make_card(), GRAPH, {"a.xml": b"2", "b.bin": b"1"})
    assert (tmp_path / "a.mask").read_bytes() == (tmp_path / "b.mask").read_bytes()


def test_any_zip_program_can_look_into_it(written):
    with zipfile.ZipFile(written) as archive:
        assert archive.namelist() == ["card.json", "graph.onnx"]
        assert archive.testzip() is None
        assert json.loads(archive.read("card.json"))["format_version"] == 1


def test_a_bundle_that_another_program_deflated_is_read(tmp_path):
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH)]
    path = make_zip(tmp_path / "m.mask", members, zipfile.ZIP_DEFLATED)
    assert read_bundle(path).graph == GRAPH


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no bundle"),
        (b"hello, this is text", "no bundle"),
        (b"PK\x03\x04 but then nothing", "damaged or truncated"),
    ],
)
def test_what_is_no_zip_is_refused(tmp_path, content, message):
    path = tmp_path / "model.mask"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_bundle(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        read_bundle(tmp_path / "nothing.mask")
    with pytest.raises(ModelFileError, match="could not read"):
        read_bundle(tmp_path)


def test_every_truncation_is_refused(written):
    data = written.read_bytes()
    for length in range(0, len(data) - 1, 97):
        written.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            read_bundle(written)


def test_every_flipped_bit_in_a_member_is_found(written):
    data = bytearray(written.read_bytes())
    start = data.index(GRAPH)
    for offset in range(0, len(GRAPH), 131):
        damaged = bytearray(data)
        damaged[start + offset] ^= 0x10
        written.write_bytes(damaged)
        with pytest.raises(ModelFileError, match="damaged"):
            read_bundle(written)


def test_flipped_bytes_anywhere_never_raise_anything_else(written):
    data = written.read_bytes()
    rng = np.random.default_rng(0)
    for offset in rng.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[offset] ^= int(rng.integers(1, 256))
        written.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            read_bundle(written)


@pytest.mark.parametrize("present", ["card.json", "graph.onnx", None])
def test_missing_members_are_named(tmp_path, present):
    content = {"card.json": card_bytes(), "graph.onnx": GRAPH}
    members = [(present, content[present])] if present else []
    absent = next(name for name in content if name != present)
    with pytest.raises(ModelFileError, match=f"has no .*{absent}"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


def test_a_newer_version_is_told_even_with_members_we_do_not_know(tmp_path):
    newer = card_bytes(format_version=FORMAT_VERSION + 1)
    members = [("card.json", newer), ("graph.onnx", GRAPH), ("hologram.bin", b"")]
    with pytest.raises(ModelFileError, match="newer Maskwright"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


@pytest.mark.parametrize("card", [b"{", b"\xff\xfe", b"[1]", b"{}", b"[" * 100_000])
def test_a_card_that_is_none_is_refused(tmp_path, card):
    members = [("card.json", card), ("graph.onnx", GRAPH)]
    with pytest.raises(ModelFileError, match="card"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../evil.txt",
        "openvino/../../evil",
        "openvino\\..\\evil",
        "C:/evil",
        "\\\\server\\evil",
    ],
)
def test_paths_that_point_outside_are_refused(tmp_path, name):
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH), (name, b"x")]
    with pytest.raises(ModelFileError, match="points outside"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


@pytest.mark.parametrize(
    "name", ["run.py", "weights.pkl", "openvino/", "openvino/.x", "a/graph.onnx"]
)
def test_members_that_do_not_belong_are_refused(tmp_path, name):
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH), (name, b"")]
    with pytest.raises(ModelFileError, match="does not belong"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("openvino/model.bin")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH), (link, b"/etc/passwd")]
    with pytest.raises(ModelFileError, match="link"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH), ("graph.onnx", b"other")]
    with pytest.raises(ModelFileError, match="stands twice"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


def test_too_many_members_are_refused(tmp_path):
    members = [(f"openvino/{number}", b"") for number in range(2000)]
    with pytest.raises(ModelFileError, match="2000 members"):
        read_bundle(make_zip(tmp_path / "m.mask", members))


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path, monkeypatch):
    members = [("card.json", card_bytes()), ("graph.onnx", bytes(50 << 20))]
    path = make_zip(tmp_path / "m.mask", members, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(ModelFileError, match="more than 20 times"):
        read_bundle(path)


def test_declared_sizes_over_the_limit_are_refused(written, monkeypatch):
    monkeypatch.setattr(bundle_module, "MAX_TOTAL_BYTES", written.stat().st_size - 1)
    with pytest.raises(ModelFileError, match="more than any bundle"):
        read_bundle(written)
    monkeypatch.setattr(bundle_module, "MAX_CARD_BYTES", 10)
    monkeypatch.setattr(bundle_module, "MAX_TOTAL_BYTES", 1 << 30)
    with pytest.raises(ModelFileError, match="its card has"):
        read_bundle(written)


def test_a_card_of_just_the_limit_is_read(written, monkeypatch):
    with zipfile.ZipFile(written) as archive:
        size = archive.getinfo("card.json").file_size
    monkeypatch.setattr(bundle_module, "MAX_CARD_BYTES", size)
    assert read_bundle(written).card.name == make_card().name
    monkeypatch.setattr(bundle_module, "MAX_CARD_BYTES", size - 1)
    with pytest.raises(ModelFileError, match="its card has"):
        read_bundle(written)


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path):
    members = [("card.json", card_bytes()), ("graph.onnx", bytes(8 << 20))]
    path = make_zip(tmp_path / "m.mask", members, zipfile.ZIP_DEFLATED)
    true, lie = (8 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(true, lie))
    with pytest.raises(ModelFileError, match="damaged"):
        read_bundle(path)


def test_encrypted_members_are_refused(written):
    data = bytearray(written.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 0x1  # the flags in the directory
    written.write_bytes(data)
    with pytest.raises(ModelFileError, match="encrypted"):
        read_bundle(written)


def test_unusual_compression_is_refused(tmp_path):
    members = [("card.json", card_bytes()), ("graph.onnx", GRAPH)]
    with pytest.raises(ModelFileError, match="unusual method"):
        read_bundle(make_zip(tmp_path / "m.mask", members, zipfile.ZIP_LZMA))


def graph_with_outside_weights(location: str) -> bytes:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [weights])
    return helper.make_model(graph).SerializeToString()


def test_weights_outside_of_the_bundle_are_refused(tmp_path):
    graph = graph_with_outside_weights("/etc/passwd")
    # the same message in encodings that parsers take, though no writer makes them
    plain = b"\x0a\x08location"
    assert graph.count(plain) == 1
    at = graph.index(plain)
    for tag in (b"\x0a\x08", b"\x8a\x00\x08", b"\x0a\x88\x00", b"\x8a\x80\x00\x88\x80\x00"):
        disguised = graph[:at] + tag + graph[at + 2 :]
        members = [("card.json", card_bytes()), ("graph.onnx", disguised)]
        with pytest.raises(ModelFileError, match="weights in another file"):
            read_bundle(make_zip(tmp_path / "m.mask", members))
    with pytest.raises(ModelFileError, match="weights in another file"):
        write_bundle(tmp_path / "n.mask", make_card(), graph)
    assert not (tmp_path / "n.mask").exists()


def test_layers_named_after_locations_are_no_reason_to_refuse(tmp_path):
    names = ("location_head", "location.weight")
    node = helper.make_node("Relu", names[:1], names[1:], name="location", doc_string="location")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in names]
    graph = helper.make_model(helper.make_graph([node], "location", value[:1], value[1:]))
    path = tmp_path / "m.mask"
    write_bundle(path, make_card(), graph.SerializeToString())
    assert read_bundle(path).graph == graph.SerializeToString()


def test_a_full_disk_leaves_the_old_bundle(written, monkeypatch):
    before = written.read_bytes()
    real = Path.write_bytes

    def full(self, data):
        real(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MaskwrightError, match="No space left"):
        write_bundle(written, make_card(name="new"), GRAPH)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["model.mask"]


def test_nothing_is_extracted(written, monkeypatch):
    real = builtins.open

    def guarded(file, mode="r", *args, **kwargs):
        assert not set("wax+") & set(mode), f"{file} was opened for writing"
        return real(file, mode, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", guarded)
    monkeypatch.setattr(io, "open", guarded)
    assert read_bundle(written).graph == GRAPH
