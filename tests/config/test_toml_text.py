"""Values written as TOML are read back by the standard library as they were, whatever characters stand in them."""

import math
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime.toml_text import toml_value

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=12,
)


@given(values)
def test_a_value_comes_back_as_it_was(value):
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


def test_what_toml_has_no_word_for_is_left_out_and_not_a_number_is_one():
    assert tomllib.loads(f"key = {toml_value({'a': None, 'b': (1, 2.5)})}") == {"key": {"b": [1, 2.5]}}
    assert math.isnan(tomllib.loads(f"key = {toml_value(math.nan)}")["key"])
