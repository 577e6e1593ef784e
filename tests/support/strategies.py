"""What hypothesis makes up: JSON as callers may send it."""

from __future__ import annotations

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
"""Any Unicode, NUL and combining characters too, without lone surrogates."""

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)

json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)

json_objects = st.dictionaries(texts, json_values, max_size=4)
