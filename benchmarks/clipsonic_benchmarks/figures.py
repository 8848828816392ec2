"""Figures of the report, as Plotly figures in JSON. Colours of text and grid are the page's, set there by its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from clipsonic_benchmarks.result import score_of
from clipsonic_benchmarks.table import heading, short

COLOURS: Final = {"route": "#0e9f8e", "text-trained": "#8b5cf6", "third-party": "#e08600", "control": "#8a93a3"}
VERDICTS: Final = {"better": "#0e9f8e", "worse": "#e0483e", "inconclusive": "#8a93a3"}
FLOORS: Final = {"fad": "noise", "kad": "noise"}
CEILING: Final = "reference"
_SYMBOLS: Final = (
    "circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "hexagon", "x", "triangle-down",
    "hourglass", "bowtie", "triangle-left", "triangle-right",
)  # fmt: skip
_LEFT_END: Final = -60
"""Where the ladder ends below the floor, in %."""
_ROW: Final = 25


def _figure(rows: int, x_title: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=_ROW * rows + 64,
        margin={"l": 8, "r": 12, "t": 6, "b": 44},
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "inherit", "size": 12},
        hoverlabel={"font": {"size": 12}},
        xaxis={"title": {"text": x_title, "standoff": 6}, "zeroline": False, "automargin": True, "nticks": 6},
        yaxis={"automargin": True, "zeroline": False, "ticks": ""},
    )
    return figure


def _interval(score: Mapping[str, Any]) -> dict[str, Any]:
    if score["low"] is None:
        return {}
    return {"array": [score["high"] - score["value"]], "arrayminus": [score["value"] - score["low"]]}


def forest(systems: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """Every system's value in one metric with its interval; None where no system has it."""
    shown = [(system, score) for system in systems if (score := score_of(system, metric)) is not None]
    if not shown:
        return None
    figure = _figure(len(shown), f"{heading(metric)} ({shown[0][1]['unit']})")
    limit = _limit([score["value"] for system, score in shown if system["label"] not in FLOORS.values()])
    for system, score in reversed(shown):
        if limit is not None and score["value"] > limit:
            figure.add_annotation(
                x=limit, y=short(system["label"]), text=f"{score['value']:.3g} →", showarrow=False, xanchor="right"
            )
            figure.add_scatter(x=[None], y=[short(system["label"])])  # keeps the row
            continue
        colour = COLOURS[system["family"]]
        bounds = "interval unknown" if score["low"] is None else f"{score['low']:.4g} to {score['high']:.4g}"
        figure.add_scatter(
            x=[score["value"]],
            y=[short(system["label"])],
            error_x={
                "type": "data",
                "symmetric": False,
                "thickness": 1.6,
                "width": 4,
                "color": colour,
                **_interval(score),
            },
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": "circle-open" if system["family"] == "control" else "circle"},
            hovertemplate=f"<b>{system['label']}</b><br>%{{x:.4g}}<br>{bounds}, {score['items']} items<extra></extra>",
        )
    if limit is not None and any(score["value"] > limit for _, score in shown):
        figure.update_xaxes(range=[min(0, *(score["low"] or 0 for _, score in shown)), limit])
    return _json(figure)


def _limit(values: Sequence[float]) -> float | None:
    """Where the axis ends, so that a floor far away does not press everything else together; None for no need of it."""
    return 2.5 * max(values) if values and max(values) > 0 else None


def differences(comparisons: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Paired differences in one metric, with zero marked; coloured by verdict."""
    shown = [one for one in comparisons if one["metric"] == metric]
    figure = _figure(len(shown), f"difference in {heading(metric)[:-2]}")
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": "#8a93a3"})
    for one in reversed(shown):
        colour = VERDICTS[one["verdict"]]
        bounds = "interval unknown" if one["low"] is None else f"{one['low']:+.4g} to {one['high']:+.4g}"
        figure.add_scatter(
            x=[one["value"]],
            y=[f"{short(one['a'])} - {short(one['b'])}"],
            error_x={
                "type": "data",
                "symmetric": False,
                "thickness": 1.6,
                "width": 4,
                "color": colour,
                **_interval(one),
            },
            mode="markers",
            marker={"color": colour, "size": 9},
            hovertemplate=f"%{{x:+.4g}}<br>{bounds}<br>{one['verdict']}<extra></extra>",
        )
    return _json(figure)


def rungs(systems: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Where each system stands between floor and ceiling: 0 is the floor control, 100 the real sounds, per metric."""
    by_label = {system["label"]: system for system in systems}
    found = []
    for metric in metrics:
        floor_name = FLOORS.get(metric, "shuffled")
        ends = [score_of(by_label[name], metric) if name in by_label else None for name in (floor_name, CEILING)]
        if ends[0] is None or ends[1] is None or ends[0]["value"] == ends[1]["value"]:
            continue
        floor, ceiling = ends[0]["value"], ends[1]["value"]
        for system in systems:
            score = score_of(system, metric)
            if score is not None:
                share = 100 * (score["value"] - floor) / (ceiling - floor)
                found.append({"metric": metric, "label": system["label"], "family": system["family"], "share": share})
    return found


def ladder(systems: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any] | None:
    """All systems between floor and ceiling, one row per metric; None without the controls."""
    found = rungs(systems, metrics)
    if not found:
        return None
    figure = _figure(2 * len({one["metric"] for one in found}), "% of the way from floor to real sounds")
    labels = list(dict.fromkeys(one["label"] for one in found if one["label"] != CEILING))
    for index, label in enumerate(labels):
        rows = [one for one in found if one["label"] == label][::-1]
        open_mark = "-open" if rows[0]["family"] == "control" else ""
        figure.add_scatter(
            x=[one["share"] for one in rows],
            y=[heading(one["metric"])[:-2] for one in rows],
            name=short(label),
            mode="markers",
            marker={
                "color": COLOURS[rows[0]["family"]],
                "size": 11,
                "symbol": _SYMBOLS[index % len(_SYMBOLS)] + open_mark,
            },
            hovertemplate=f"<b>{label}</b><br>%{{x:.0f}} %<extra></extra>",
        )
    figure.update_layout(
        showlegend=True,
        height=(figure.layout.height or 0) + 96,
        margin={"b": 140},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(range=[max(_LEFT_END, min(-8, min(one["share"] for one in found) - 4)), 106])
    for place in (0, 100):
        figure.add_vline(x=place, line={"width": 1, "dash": "dot", "color": "#8a93a3"})
    return _json(figure)


def gap_plot(gaps: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """FAD of each route's sounds against how far its conditions lie from image embeddings."""
    shown = [gap for gap in gaps if gap["fad"] is not None]
    if not shown:
        return None
    figure = _figure(11, "centroid distance of the conditions from the image embeddings")
    places = ("top center", "bottom center", "top right", "bottom right", "top left", "bottom left")
    for index, gap in enumerate(shown):
        distance = gap["scores"][0]
        figure.add_scatter(
            x=[distance["value"]],
            y=[gap["fad"]],
            error_x={
                "type": "data",
                "symmetric": False,
                "color": COLOURS["route"],
                "thickness": 1.4,
                **_interval(distance),
            },
            mode="markers+text",
            text=[short(gap["system"])],
            textposition=places[index % len(places)],
            marker={"color": COLOURS["route"], "size": 10},
            cliponaxis=False,
            hovertemplate=f"<b>{gap['system']}</b><br>distance %{{x:.3f}}<br>FAD %{{y:.4f}}<extra></extra>",
        )
    widest = max(gap["scores"][0]["high"] or gap["scores"][0]["value"] for gap in shown)
    figure.update_xaxes(range=[-0.12 * (widest or 1), 1.15 * (widest or 1)])
    figure.update_yaxes(title={"text": "FAD of its sounds"}, rangemode="tozero")
    figure.update_layout(margin={"t": 24})
    return _json(figure)


def _json(figure: go.Figure) -> dict[str, Any]:
    """Data and layout as plain JSON values."""
    import json

    plain: dict[str, Any] = json.loads(figure.to_json())
    return {"data": plain["data"], "layout": plain["layout"]}
