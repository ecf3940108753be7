"""docs/metrics.md and docs/keys.md tell what the modules metrics.py and keys.py do, all of it and no more."""

from __future__ import annotations

import re
from functools import partial

from taskq.redis import keys
from taskq.views import metrics
from tests.unit import source

METRICS = (source.ROOT / "docs/metrics.md").read_text(encoding="utf-8")
KEYS = (source.ROOT / "docs/keys.md").read_text(encoding="utf-8")
CODE = (source.ROOT / "taskq/redis/keys.py").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of a page's table, without its head."""
    lines = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines if line.startswith("| `")]


def named(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def test_metrics() -> None:
    counters = [[f"`{name}_total`", named(labels), text] for name, (text, labels) in metrics.COUNTERS.items()]
    assert rows(METRICS, "Counters") == counters
    gauges = [[f"`{name}`", named(labels), text] for name, (text, labels) in metrics.GAUGES.items()]
    assert rows(METRICS, "Gauges") == gauges
    assert rows(METRICS, "Histograms") == [
        [f"`{name}`", named(labels), text, ", ".join(f"{bound:g}" for bound in bounds)]
        for name, (text, labels, bounds) in metrics.HISTOGRAMS.items()
    ]


def schema() -> list[list[str]]:
    """The rows of the table in the docstring of keys.py: key, type, content, written by, expires."""
    table = str(keys.__doc__).split("\n\n")
    lines = next(part for part in table if part.startswith("key  ")).splitlines()
    found: list[list[str]] = []
    for line in lines[2:]:
        key, kind, *more = line[:23].strip(), line[23:31].strip(), *re.split(r"  +", line[31:].strip())
        if line.startswith("taskq:") and " " not in line:  # its type comes in the next line
            found.append([line, "", "", "", ""])
        elif key:
            found.append([key, kind, *more])
        elif found[-1][1] == "":
            found[-1][1:] = [kind, *more]
        elif kind:  # another type, of other maps
            found[-1][1] += f" or {kind}"
            found[-1][2] += f"; {kind}: {more[0]}"
        else:
            found[-1][2] += f" {more[0]}"
    return [[row[0], *(cell(one) for one in row[1:])] for row in found]


def cell(text: str) -> str:
    """As it stands in a table."""
    return text.replace("``", "`").replace("|", "\\|")


def test_keys() -> None:
    told = schema()
    assert len(told) >= 50
    assert all(len(row) == 5 and all(row) for row in told)
    assert rows(KEYS, "All keys") == [[f"`{row[0]}`", *row[1:]] for row in told]


def test_the_schema_has_every_key_that_code_makes() -> None:
    told = {row[0].replace("taskq", keys.PREFIX, 1) for row in schema()}
    made = {key.replace("{x}", "{id}") for key in keys.MapKeys("x").all}
    made |= {key.replace("{x}", "{id}") for key in (keys.MapKeys("x").events, keys.MapKeys("x").end)}
    made |= {f"{keys.PREFIX}:{{id}}:starts:{{incarnation}}"}
    simple = [
        value for name, value in vars(keys).items() if name.isupper() and str(value).startswith(keys.PREFIX + ":")
    ]
    for key in (*made, *simple):
        assert any(one == key or (key.endswith(":") and one.startswith(key)) for one in told), key
    of_kinds = (partial(keys.named, kind) for kind in keys.NAMED)
    for make in (*of_kinds, keys.shared, keys.memo, keys.memo_maps, keys.held):
        assert re.sub(r"\{?x\}?", "*", make("x")) in {re.sub(r"\{\w+\}", "*", one) for one in told}, make


def test_fields_of_a_map() -> None:
    fields = re.findall(r'^    [A-Z_]+ = "(\w+)"  # (.+)$', CODE.partition("class MapField")[2], re.MULTILINE)
    assert len(fields) > 40
    assert rows(KEYS, "Fields of a map") == [[f"`{name}`", cell(text)] for name, text in fields]


def test_fields_in_a_job_of_rq_s() -> None:
    assert [row[0].strip("`") for row in rows(KEYS, "Fields in a job of RQ's")] == [
        keys.JOB_KIND, keys.JOB_TRACE, keys.JOB_DEATHS, keys.JOB_RAN,
    ]  # fmt: skip
