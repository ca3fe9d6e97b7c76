"""What is said of a problem and of a model, in the words of the page (``static/now.js``, ``static/model.js``). Pure."""

from modelcast.dashboard.view.problems import Problem
from modelcast.schemas.quantities import MISSING, duration, number, plural
from modelcast.schemas.statuses import Status


def where(problem: Problem) -> str:
    """Where a problem is, in a few words."""
    if problem.cause in {"region", "tracker"} and (problem.pairs_of > 1 or problem.cause == "tracker"):
        return f"{number(problem.pairs)} of {plural(problem.pairs_of, 'model')}"
    if problem.cause == "region":
        return problem.model
    if problem.region:
        return f"in {problem.region}"
    return f"in {number(problem.pairs)} of {plural(problem.pairs_of, 'region')}" if problem.pairs_of else ""


def versions(problem: Problem) -> str:
    """What is served, and what should be."""
    if problem.version_to is None:
        return ""
    if problem.status is Status.REFUSED:
        return "" if problem.version_from is None else f"serves {problem.version_from}"
    if problem.version_from == problem.version_to:
        return f"version {problem.version_to}"
    return f"{version(problem.version_from)} → {problem.version_to}"


def version(number_of: int | None) -> str:
    """A version, or that there is none."""
    return MISSING if number_of is None else str(number_of)


def served_sentence(serving: int, counted: int, latest: int | None) -> str:
    """How far a model is served."""
    regions = f"{number(serving)} of {plural(counted, 'region')} serve the aspired version"
    return f"{regions}; the latest version is {version(latest)}"


def consistent_sentence(served_version: int | None, last_version: int | None, seconds: float | None) -> str:
    """Which version all regions serve; ``seconds``: for how long, None: not known."""
    if served_version is not None:
        return f"consistent version {served_version} since {duration(seconds)}"
    return "consistent version none" + (f", last {last_version}" if last_version else "")
