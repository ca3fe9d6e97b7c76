"""What people read of a way by deltas. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from modelcast.consumers.fetch.planning.steps import Label, Step, Way
from modelcast.deltas.fetch.planning.paths import Detour, Option


def labelled(step: Step, option: Option, versions: Mapping[str, int]) -> Step:
    """The step by this way.

    Args:
        versions: which version a base file belongs to.
    """
    if option.way is Way.CACHE:
        return step  # the road found a file there, or knows that it is damaged
    if isinstance(option.way, Way):
        return replace(step, way=option.way, origin_bytes=option.origin_bytes, own_label=None)
    label = replace(_label(option, versions), kind=option.way)
    return replace(step, way=Way.ACCELERATED, origin_bytes=option.origin_bytes, own_label=label)


def _label(option: Option, versions: Mapping[str, int]) -> Label:
    source = f" from {versions[option.base]}" if option.base in versions else ""
    if option.way is Detour.DELTA:
        label = Label(f"delta{source}", f"deltas{source}")
    elif option.way is Detour.CHAIN:
        rest = f" of {len(option.offers)} deltas{source}"
        label = Label(f"chain{rest}", f"chains{rest}")
    else:
        deltas = len(option.offers) - 1  # on top of it
        top = ("", " + delta", f" + {deltas} deltas")[min(deltas, 2)]
        label = Label(f"compressed whole{top}", f"compressed wholes{top}{' each' if top else ''}")
    return Label(f"rest of a {label.one}", f"rests of {label.many}") if option.goes_on else label
