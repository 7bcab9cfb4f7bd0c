"""What measurements say about the machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import numpy as np

from maskwright.core.machine import describe_machine


def test_describe_machine_is_plain_and_true():
    told = describe_machine()
    assert json.loads(json.dumps(told)) == told
    assert told["python"] == platform.python_version()
    assert told["packages"]["numpy"] == np.__version__
    assert told["processor"]
    assert told["cores"] >= 1


def test_describe_machine_imports_none_of_the_packages():
    code = (
        "import sys; from maskwright.core.machine import describe_machine; describe_machine();"
        "assert not {'torch', 'onnxruntime', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
