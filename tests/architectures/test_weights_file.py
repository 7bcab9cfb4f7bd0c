"""Weights of strangers: tensors come out, code never runs, and every refusal names its reason."""

from __future__ import annotations

import builtins
import collections
import contextlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from standin import Standin, StandinConfig, make_network

from maskwright.architectures.weights import load_weights, read_weights
from maskwright.core.errors import ModelFileError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def same(left, right) -> bool:
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        collections.OrderedDict,
        lambda tensors: {"state_dict": tensors, "epoch": 3, "meta": {"lr": [0.1, (2, "x")]}},
        lambda tensors: {"model": {"state_dict": tensors}},
        lambda tensors: {"model_state": {f"module.{key}": tensors[key] for key in tensors}},
        lambda tensors: {f"_orig_mod.module.{key}": tensors[key] for key in tensors},
        lambda tensors: {key: torch.nn.Parameter(tensors[key]) for key in tensors},
        lambda tensors: {
            "random": np.random.default_rng(0).bit_generator.state | {"old": np.random.get_state()},
            "meta": {"score": np.float64(0.5), "n": np.int64(3), "a": np.arange(4.0), "t": None},
            "size": torch.Size([1, 2]),
            "dtype": torch.float16,
            "state_dict": tensors,
        },
    ],
)
def test_torch_files_are_read_in_both_formats_and_unwrapped(tmp_path, wrap, zipped):
    path = tmp_path / "weights.pth"
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=zipped)
    assert same(read_weights(path), TENSORS)


def test_the_content_tells_the_format_not_the_name(tmp_path):
    path = tmp_path / "weights.pt"
    safetensors.torch.save_file(TENSORS, path)
    found = read_weights(path)
    assert same(dict(sorted(found.items())), dict(sorted(TENSORS.items())))


def test_a_prefix_is_only_taken_off_where_all_names_have_it(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pt")
    assert set(read_weights(tmp_path / "w.pt")) == {"module.a", "b"}


def test_numpy_in_a_file_is_passed_over(tmp_path):
    impossible = Calls(np.dtype, "numpy would refuse this")
    torch.save({"x": impossible, "w": torch.ones(2)}, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == ["w"]


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    class Larger:
        def __reduce__(self):
            storage = torch.ones(4).storage()
            return torch._utils._rebuild_tensor_v2, (storage, 0, (1 << 50,), (1,), False, None)

    torch.save({"w": Larger()}, tmp_path / "w.pt")
    with pytest.raises(ModelFileError):
        read_weights(tmp_path / "w.pt")


def test_views_keep_their_shape_and_strides(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({"t": base.t(), "half": base[::2].half()}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert torch.equal(found["t"], base.t())
    assert torch.equal(found["half"], base[::2])


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_floats_of_any_width_become_float32(tmp_path, kind):
    torch.save({"a": torch.arange(4.0).to(kind), "n": torch.tensor(3)}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert found["a"].dtype == torch.float32
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["n"].dtype == torch.int64


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.ones(2, dtype=torch.complex64), "holds b.weight as torch.complex64"),
        (torch.tensor([1.0, float("nan")]), "b.weight that are not finite"),
        (torch.tensor([float("inf")], dtype=torch.float64), "b.weight that are not finite"),
        (torch.tensor([1e300], dtype=torch.float64), "b.weight that are not finite"),
        (torch.eye(2).to_sparse(), "holds b.weight as torch.sparse_coo"),
    ],
)
def test_what_no_network_takes_is_told(tmp_path, tensor, told):
    torch.save({"a.weight": torch.ones(1), "b.weight": tensor}, tmp_path / "w.pt")
    with pytest.raises(ModelFileError, match=told):
        read_weights(tmp_path / "w.pt")


def test_a_dictionary_that_holds_itself_ends(tmp_path):
    endless = {"epoch": 1}
    endless["model"] = endless
    torch.save(endless, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match="holds no dictionary of tensors"):
        read_weights(tmp_path / "w.pth")


def evil_contents(witness: Path) -> dict[str, object]:
    touch = f"touch {witness}"
    code = f"open({str(witness)!r}, 'w').close()"
    return {
        "os.system": {"w": torch.ones(1), "x": Calls(os.system, touch)},
        "builtins.eval": Calls(eval, code),
        "builtins.exec": {"state_dict": {"deep": [({"er": Calls(exec, code)},)]}},
        "subprocess.Popen": [Calls(subprocess.Popen, ["touch", str(witness)])],
        "builtins.getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "builtins.__import__": Calls(__import__, "os"),
        "builtins.open": Calls(open, str(witness), "w"),
        "pathlib": {"state_dict": collections.OrderedDict(x=Calls(Path.touch, witness))},
        "numpy.load": Calls(np.load, str(witness), None, True),
        "numpy.save": Calls(np.save, str(witness), 1),
        "torch.load": Calls(torch.load, str(witness), None, None, False),
        "torch.hub": Calls(torch.hub.load, "a/b", "c"),
        "module": make_network(),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", evil_contents(Path("x")))
def test_code_never_runs(tmp_path, kind, zipped):
    witness = tmp_path / "it_ran"
    path = tmp_path / "weights.pt"
    torch.save(evil_contents(witness)[kind], path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelFileError, match=r"wants to call \S+\. Nothing of it was run"):
        read_weights(path)
    assert not witness.exists()


def test_the_global_is_named(tmp_path):
    torch.save({"x": Calls(os.system, "true")}, tmp_path / "w.pt")
    with pytest.raises(ModelFileError, match=r"wants to call (posix|nt)\.system"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_any_protocol_never_run(tmp_path, protocol):
    witness = tmp_path / "it_ran"
    content = {"x": Calls(os.system, f"touch {witness}")}
    for name, data in {
        "bare": pickle.dumps(content, protocol),
        "in a legacy file": _legacy(pickle.dumps(content, protocol)),
        "in a zip": _torch_zip(tmp_path, pickle.dumps(content, protocol)),
    }.items():
        path = tmp_path / f"{name}.pt"
        path.write_bytes(data)
        with pytest.raises(ModelFileError):
            read_weights(path)
    assert not witness.exists()


def test_the_forgeries_above_reach_the_unpickler(tmp_path):
    honest = pickle.dumps({"epoch": 7}, 2)
    for data in (_legacy(honest), _torch_zip(tmp_path, honest)):
        (tmp_path / "w.pt").write_bytes(data)
        with pytest.raises(ModelFileError, match="no dictionary of tensors, only epoch"):
            read_weights(tmp_path / "w.pt")


def _legacy(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({}, buffer, _use_new_zipfile_serialization=False)
    magic = buffer.getvalue()
    return magic[: magic.index(b"\x80\x02}q\x00.", 60)] + pickled + pickle.dumps([], 2)


def _torch_zip(folder: Path, pickled: bytes) -> bytes:
    torch.save({"w": torch.ones(2)}, folder / "honest.pt")
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(folder / "honest.pt") as honest,
        zipfile.ZipFile(buffer, "w") as forged,
    ):
        for name in honest.namelist():
            forged.writestr(name, pickled if name.endswith("data.pkl") else honest.read(name))
    return buffer.getvalue()


def test_what_other_libraries_allow_is_not_allowed_here_and_is_given_back(tmp_path):
    witness = tmp_path / "it_ran"
    torch.save({"x": Calls(os.makedirs, str(witness))}, tmp_path / "w.pt")
    with torch.serialization.safe_globals([os.makedirs, (builtins.eval, "builtins.eval")]):
        before = set(torch.serialization.get_safe_globals())
        with pytest.raises(ModelFileError, match=r"os\.makedirs"):
            read_weights(tmp_path / "w.pt")
        assert set(torch.serialization.get_safe_globals()) == before
    assert not witness.exists()


def test_the_environment_cannot_open_the_door(tmp_path):
    witness = tmp_path / "it_ran"
    torch.save({"x": Calls(os.system, f"touch {witness}")}, tmp_path / "w.pt")
    program = (
        "from maskwright.architectures.weights import read_weights\n"
        f"try: read_weights({str(tmp_path / 'w.pt')!r})\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "ModelFileError"
    assert not witness.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_truncation_is_refused(tmp_path, zipped):
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer, _use_new_zipfile_serialization=zipped)
    data = buffer.getvalue()
    path = tmp_path / "weights.pt"
    for length in range(1, len(data) - 1, 29):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            read_weights(path)


def test_flipped_bytes_never_raise_anything_else(tmp_path):
    path = tmp_path / "weights.pt"
    rng = np.random.default_rng(1)
    for save in (
        lambda buffer: torch.save(TENSORS, buffer),
        lambda buffer: torch.save(TENSORS, buffer, _use_new_zipfile_serialization=False),
        lambda buffer: buffer.write(safetensors.torch.save(TENSORS)),
    ):
        buffer = io.BytesIO()
        save(buffer)
        for offset in rng.integers(0, len(buffer.getvalue()), 80):
            damaged = bytearray(buffer.getvalue())
            damaged[offset] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            with contextlib.suppress(ModelFileError):
                read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just text", "holds no weights"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "holds no weights"),
        (b"\x10\0\0\0\0\0\0\0{broken json....", "damaged or truncated"),
        (pickle.dumps({"a": 1}), "holds no weights|no dictionary of tensors"),
    ],
)
def test_files_that_are_no_weights_are_told(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        read_weights(path)


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        read_weights(tmp_path / "nothing.pt")
    with pytest.raises(ModelFileError, match="could not read"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], "text", 5, {}, {"model": [1]}])
def test_dictionaries_without_tensors_are_told(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelFileError, match="no dictionary of tensors"):
        read_weights(tmp_path / "w.pt")


def test_a_torchscript_program_is_told(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "w.pt")
    with pytest.raises(ModelFileError, match="TorchScript"):
        read_weights(tmp_path / "w.pt")


def test_a_bomb_is_refused(tmp_path):
    torch.save({"w": torch.zeros(4 << 20)}, tmp_path / "honest.pt")
    with (
        zipfile.ZipFile(tmp_path / "honest.pt") as honest,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in honest.namelist():
            bomb.writestr(name, honest.read(name))
    assert read_weights(tmp_path / "honest.pt")["w"].numel() == 4 << 20
    with pytest.raises(ModelFileError, match="unpack to"):
        read_weights(tmp_path / "bomb.pt")


def test_weights_go_into_a_network():
    source, target = make_network(seed=1), make_network(seed=2)
    report = load_weights(target, source.state_dict())
    assert not report.missing
    assert not report.unexpected
    assert not report.swapped
    assert same(target.state_dict(), source.state_dict())
    assert str(report) == f"loaded {len(report.loaded)} of {len(report.loaded)} tensors"


def test_other_classes_swap_the_head_and_say_so():
    source, target = make_network(classes=3, seed=1), make_network(classes=5, seed=2)
    fresh = target.head.weight.detach().clone()
    report = load_weights(target, source.state_dict())
    assert set(report.swapped) == {"head.weight", "head.bias", "aux.weight", "aux.bias"}
    assert report.swapped["head.bias"] == ((3,), (5,))
    assert torch.equal(target.head.weight, fresh)
    assert torch.equal(target.stem[0].weight, source.stem[0].weight)
    assert "swapped" in str(report)
    assert "[3] -> [5]" in str(report) or "[3, 8, 1, 1] -> [5, 8, 1, 1]" in str(report)


def test_missing_and_unexpected_tensors_are_told():
    tensors = dict(make_network(seed=1).state_dict())
    tensors["aux.extra"] = tensors.pop("aux.weight")
    report = load_weights(make_network(), tensors)
    assert report.missing == ("aux.weight",)
    assert report.unexpected == ("aux.extra",)
    assert "1 missing, such as aux.weight" in str(report)
    assert "1 unexpected, such as aux.extra" in str(report)


def test_weights_of_another_configuration_are_refused():
    wide = Standin(StandinConfig(width=16))
    with pytest.raises(ModelFileError, match=r"stem.0.weight: expected \[8, .*got \[16"):
        load_weights(make_network(), wide.state_dict())


@pytest.mark.parametrize("tensors", [{}, {"backbone.conv.weight": torch.ones(1)}])
def test_weights_of_another_architecture_are_refused(tensors):
    with pytest.raises(ModelFileError, match="none of the"):
        load_weights(make_network(), tensors)
