"""The settings on which two resolved recipes differ."""

from typing import Any


def differing_settings(base: dict[str, Any], here: dict[str, Any]) -> list[dict[str, Any]]:
    """{setting, base, here} of two resolved recipes, for every setting on which they differ."""
    a, b = _flat(base), _flat(here)
    return [
        {"setting": path, "base": a.get(path), "here": b.get(path)}
        for path in dict.fromkeys([*a, *b])
        if a.get(path) != b.get(path)
    ]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves of nested settings by dotted path; stages by name, the second of a name as `dedup-2`."""
    if isinstance(value, list) and path == "stages":
        names: dict[str, int] = {}
        out: dict[str, Any] = {}
        for entry in value:
            ((name, settings),) = entry.items()
            names[name] = names.get(name, 0) + 1
            out |= _flat(settings, name if names[name] == 1 else f"{name}-{names[name]}")
        return out
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{path}.{key}".lstrip(".")).items()}
    return {path: value}
