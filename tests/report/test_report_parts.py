"""The pieces of the report: numbers for human eyes, axes, histograms, timings."""

import math
import re

import pytest

from tamis.report.charts import Axis, CutOff, Histogram, histogram, log_ticks, removes, round_ticks, running_mean, thin
from tamis.report.formats import (
    count,
    duration,
    escape,
    fixed,
    percent,
    places_for,
    real,
    safe_link,
    size,
    threshold,
    tick,
)
from tamis.report.timings import timings_of, wall_seconds


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (count(1234567), "1 234 567"), (size(0), "0 B"), (size(999), "999 B"), (size(999_999), "1.00 MB"),
        (size(41_230_118), "41.2 MB"), (size(1.5e12), "1.50 TB"), (percent(1, 100_000), "< 0.1 %"),
        (percent(99_999, 100_000), "> 99.9 %"), (percent(5, 5), "100 %"), (percent(0, 5), "0 %"), (percent(0, 0), "–"),
        (real(0.00001234), "1.23e-5"), (real(1234.5), "1 234"), (real(math.nan), "–"), (real(-math.inf), "-∞"),
        (tick(100_000), "100 k"), (tick(1_500_000), "1.5 M"), (tick(0.30000000000000004), "0.3"), (tick(-2), "-2"),
        (tick(1e-5), "1e-5"),
        (threshold(100_000), "100 000"), (threshold(0.5214), "0.5214"),
        (fixed(-0.0001, 2), "0.00"),
        (fixed(0.121, 3, signed=True), "+0.121"), (duration(0.4), "0.40 s"), (duration(245), "4 min 05 s"),
        (duration(12_000), "3 h 20 min"),
    ],
)  # fmt: skip
def test_numbers_read_well(said: str, expected: str) -> None:
    assert plain(said) == expected


def test_places_follow_the_interval() -> None:
    assert places_for(0.041) == 3 and places_for(4.1) == 1 and places_for(0) == 3 and places_for(math.nan) == 3


def test_escape_and_links() -> None:
    assert escape('<a href="x">&\'\x00') == "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;\ufffd"
    assert safe_link("https://a.example/x").startswith('<a href="https://a.example/x" rel=')
    for url in ("javascript:alert(1)", "data:text/html,x", "http:", "//a", "", "http://[x"):
        assert "<a" not in safe_link(url)


def test_ticks_are_round_few_and_inside() -> None:
    for low, high in ((0, 1), (-0.011, 0.041), (2.35, 2.59), (0, 2_457_600), (1e-9, 3e-9), (-5, -4)):
        ticks = round_ticks(low, high)
        assert 2 <= len(ticks) <= 6 and low - 1e-12 <= ticks[0] and ticks[-1] <= high + (high - low) * 1e-6
    assert round_ticks(1, 1) == [1]
    assert log_ticks(1, 1e6, 4) == [1, 100, 1e4, 1e6]
    assert log_ticks(2, 5) == [2, 5]


def test_axis_clamps_and_takes_logs() -> None:
    assert Axis(1, 100, log=True).at(10) == pytest.approx(50)
    assert Axis(0, 10).at(-5) == 0 and Axis(0, 10).at(50) == 100 and Axis(3, 3).at(3) == 50


@pytest.mark.parametrize(
    ("op", "gone"), [("<", {1}), ("<=", {1, 2}), (">", {3}), (">=", {2, 3}), ("==", {2}), ("!=", {1, 3})]
)
def test_rules_remove_their_side(op: str, gone: set[int]) -> None:
    assert {value for value in (1, 2, 3) if removes([CutOff(op=op, threshold=2, reason="r")], value)} == gone


def test_histogram_draws_every_bin_and_colours_what_is_removed() -> None:
    data = Histogram(
        label="x", low=0, high=4, log=False, counts=[2, 5, 6, 7, 8, 1], cuts=[CutOff(op="<", threshold=1.5, reason="r")]
    )
    svg = histogram(data)
    titles = re.findall(r'<rect [^>]*class="(bin[^"]*)"><title>([^<]*)</title>', svg)
    assert [(kind, plain(title).rpartition(": ")[2]) for kind, title in titles] == [
        ("bin gone", "5"), ("bin gone", "6"), ("bin", "6"), ("bin", "7"), ("bin", "8"), ("bin gone", "2"), ("bin", "1"),
    ]  # fmt: skip
    assert svg.count('class="shade"') == 1 and svg.count('class="cut"') == 1


def test_running_mean_keeps_a_line_and_thin_keeps_the_ends() -> None:
    line = [(float(x), 2.0 * x) for x in range(200)]
    smooth = running_mean(line)
    assert [x for x, _ in smooth] == [float(x) for x in range(5, 195)]
    assert [y for _, y in smooth] == pytest.approx([2 * x for x, _ in smooth])
    assert thin(line, 50)[0] == line[0] and thin(line, 50)[-1] == line[-1] and len(thin(line, 50)) <= 51


def test_timings_add_up_tasks_and_attempts() -> None:
    about = {"pass": 1, "stages": ["01_pool", "02_extract"]}
    events = [
        {"time": 0.0, "kind": "run_started"},
        {"time": 1.0, "kind": "pass_started", **about},
        {"time": 3.0, "kind": "task_finished", **about, "rows": 10, "seconds": 1.5, "input_bytes": 100},
        {"time": 4.0, "kind": "task_retried", **about, "trouble": "killed"},
        {"time": 50.0, "kind": "run_started"},
        {"time": 50.0, "kind": "pass_started", **about},
        {"time": 52.0, "kind": "task_finished", **about, "rows": 20, "seconds": 1.5, "input_bytes": 200},
        {"time": 53.0, "kind": "pass_finished", **about},
        {"time": 54.0, "kind": "run_finished"},
        {"time": 900.0, "kind": "step_started", "stage": "train"},
        {"time": 960.0, "kind": "step_finished", "stage": "train"},
    ]
    first, train = timings_of(events)
    assert (first.name, first.tasks, first.retries, first.rows, first.input_bytes) == ("pool + extract", 2, 1, 30, 300)
    assert (first.task_seconds, first.wall_seconds) == (3.0, 3.0)
    assert (train.name, train.wall_seconds) == ("train", 60.0)
    assert wall_seconds(events) == 4.0 + 4.0
    assert math.isnan(wall_seconds([]))
