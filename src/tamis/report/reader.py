"""Reads the files of one run, in a local or remote workspace, and records what is wrong with them.

A report is needed most for a failed or incompletely copied run, so a file that is absent, cut off or invalid gives a
line in `problems`, and never an error.
"""

import json
from collections.abc import Iterator
from typing import Any

from tamis.base.errors import ConfigError, DataError
from tamis.base.yaml_text import read_yaml
from tamis.report.scores import as_dict
from tamis.store.location import Location
from tamis.store.rundir import Product, RunDir

UNREADABLE = (DataError, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What the readers of a run's own files raise when a file is absent, cut off or not what it should be."""


class RunReader:
    """In the methods, `name` is the name of a file in `problems`."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.problems: list[str] = []

    def steps(self) -> dict[str, str]:
        """Step -> name of its artefact; empty, with a problem, when run.json cannot be read."""
        try:
            return {str(step): str(name) for step, name in self.run.steps().items()}
        except UNREADABLE:
            self.problems.append("run.json: not readable")
            return {}

    def products(self, kind: str) -> list[Product]:
        """Models or evaluations listed in run.json, in the order in which they were made."""
        try:
            found = self.run.products(kind)
        except UNREADABLE:
            return []  # `steps` has reported the problem.
        return [
            product for product in found if isinstance(product.artefact, str) and isinstance(product.settings, dict)
        ]

    def state(self) -> tuple[str, str]:
        """The run's state and its failure; unknown when a file that records it cannot be read."""
        try:
            return self.run.state()
        except UNREADABLE:
            return "unknown", ""  # The problem is reported where that file is shown.

    def artefact(self, name: str) -> Location:
        return self.run.workspace.artefact(name)

    def text(self, place: Location, name: str) -> str | None:
        try:
            return place.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problems.append(f"{name}: {error.strerror or error}")
            return None
        except DataError:
            self.problems.append(f"{name}: a folder is in its place")
            return None

    def json(self, place: Location, name: str) -> Any:
        """None when the file is absent; None and a problem when it is broken."""
        text = self.text(place, name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            self.problems.append(f"{name}: not valid JSON")
            return None

    def lines(self, place: Location, name: str) -> Iterator[dict[str, Any]]:
        """Objects of a JSON-lines file; broken lines (a killed run leaves one) are counted and skipped."""
        broken = 0
        for line in (self.text(place, name) or "").splitlines():
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                item = None
            if isinstance(item, dict):
                yield item
            else:
                broken += 1
        if broken:
            self.problems.append(f"{name}: {broken} unreadable line{'s' * (broken > 1)}")

    def yaml(self, place: Location, name: str) -> tuple[dict[str, Any], str]:
        text = self.text(place, name)
        if text is None:
            self.problems.append(f"{name}: missing")
            return {}, ""
        try:
            return as_dict(read_yaml(text, name)), text
        except ConfigError:
            self.problems.append(f"{name}: not valid YAML")
            return {}, text
