"""What a dashboard, a panel and a query are, and the usual panels."""

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """How a panel is drawn."""

    STAT = "stat"
    LINES = "lines"
    BARS = "bars"


@dataclass(frozen=True, slots=True)
class PromQuery:
    """A query, and how a series of its answer is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel. ``unit``: Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[PromQuery, ...]
    shape: Shape = Shape.LINES
    help: str = ""


@dataclass(frozen=True, slots=True)
class DashboardSpec:
    """A dashboard. ``variables``: labels that a person chooses a value of, with the query that lists them."""

    uid: str
    title: str
    panels: tuple[PanelSpec, ...]
    variables: tuple[tuple[str, str], ...] = ()


def quantile(q: float, name: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket[$__rate_interval])))"


def p95(name: str, by: str = "") -> str:
    return quantile(0.95, name, by)


def count(name: str, by: str, labels: str = "") -> tuple[str, str]:
    """How many there were of each kind, and what the kinds are called."""
    legend = " ".join(f"{{{{{each}}}}}" for each in by.split(", "))
    return f"sum by ({by}) (increase({name}{labels}[$__rate_interval]))", legend


def lines(title: str, unit: str, *queries: tuple[str, str], help: str = "") -> PanelSpec:
    return PanelSpec(title, unit, tuple(PromQuery(*each) for each in queries), help=help)


def bars(title: str, unit: str, *queries: tuple[str, str], help: str = "") -> PanelSpec:
    return PanelSpec(title, unit, tuple(PromQuery(*each) for each in queries), Shape.BARS, help)


def stat(title: str, unit: str, expr: str, help: str = "") -> PanelSpec:
    return PanelSpec(title, unit, (PromQuery(expr),), Shape.STAT, help)
