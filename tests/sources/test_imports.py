"""Every source can be imported on a machine without vendors' libraries, and says what is missing when it is opened."""

import subprocess
import sys

import pytest

from bmi_runtime.sources.base import SOURCES

LIVE = sorted(name for name, where in SOURCES.items() if where.startswith("bmi_runtime.sources"))
NEEDY = ("merged", "rehearsal")  # nothing without their parts, or their pilot
BLOCKED = ("redis", "pylsl", "neo", "pynwb")
PROGRAM = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from bmi_runtime import config
from bmi_runtime.errors import BadInput
from bmi_runtime.sources.base import SOURCES, source_class
for name in SOURCES:
    made = source_class(name)
    if name not in {needy!r}:
        made(config.load(None, ["source.options.wait_s=0"] if name in {live!r} else []))
for name in ("redis", "lsl"):
    try:
        source_class(name)(config.load()).open()
    except BadInput as error:
        print(error)
"""


def test_sources_need_no_vendor_library_until_they_are_opened():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(blocked=BLOCKED, live=LIVE, needy=NEEDY)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'bmi-runtime[redis]'" in done.stdout and "pip install 'bmi-runtime[lsl]'" in done.stdout


@pytest.mark.parametrize("name", [name for name in LIVE if name not in NEEDY])
def test_an_unknown_option_names_the_nearest(name):
    from bmi_runtime import config
    from bmi_runtime.errors import BadInput
    from bmi_runtime.sources.base import source_class

    with pytest.raises(BadInput, match=r"unknown key 'source\.options\.wait'; the nearest valid one is 'wait_s'"):
        source_class(name)(config.load(None, ["source.options.wait=1"]))
