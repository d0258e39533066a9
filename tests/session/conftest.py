"""What tests of sessions share."""

import pathlib
import sys

import pytest

THEIR_FOLDER = pathlib.Path(__file__).parents[1] / "stranger"


@pytest.fixture
def their_lab(monkeypatch):
    """Put another laboratory's package where an installation would, for this test alone."""
    monkeypatch.syspath_prepend(str(THEIR_FOLDER))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "their_lab"]:
        del sys.modules[name]
