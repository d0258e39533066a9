"""Values as TOML reads them, for overrides and written configurations (the standard library only reads TOML)."""

import json
from typing import Any


def toml_value(value: Any) -> str:
    """Return a value as TOML reads it; what a table holds as None is left out, for TOML has no word for it."""
    if isinstance(value, dict):
        pairs = (f"{_quoted(key)} = {toml_value(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML takes no bare DEL
