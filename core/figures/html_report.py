"""A comparison as a report: one HTML file with its charts that needs no network."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from core.chem import depict
from core.engine.spec import Spec, to_json
from core.figures import arms as arm_figures
from core.results.comparison import Comparison, mean_and_sd
from core.results.expectations import check_claims
from core.stats.metrics import COMPARED, find_metric

STYLE = """
:root { color-scheme: light; --ink: #1b2433; --soft: #5b6675; --line: #dfe4ea; --paper: #fff; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.verdict { font-size: 1.1rem; border-left: 4px solid #0f766e; padding: .2rem 0 .2rem 1rem; }
.soft, caption { color: var(--soft); font-size: .9rem; }
caption { caption-side: bottom; text-align: left; padding-top: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.molecules { display: flex; flex-wrap: wrap; gap: .75rem; } figure { margin: 0; width: 11rem; font-size: .8rem; }
figure img { width: 100%; height: auto; } figcaption { overflow-wrap: anywhere; color: var(--soft); }
pre { overflow-x: auto; background: #f4f6f8; padding: 1rem; font-size: .8rem; }
"""
SHOWN_MOLECULES = 6  # per arm


def render_report(comparison: Comparison, spec: Spec, date: str = "") -> str:
    """The HTML report of a comparison and its spec; `date`: when it was made. All text from tables is escaped."""
    record = comparison.record
    compared = find_metric(COMPARED, record.get("task_kind", "regression"))
    unit, metric = compared.unit_text(record.get("unit", "")), compared.name
    charts = [arm_figures.plot_arms(record["arms"], COMPARED, unit, record["reference"], metric)]
    if len(record.get("sizes", ())) > 1:
        charts.insert(0, arm_figures.plot_selection_sizes(record["arms"], COMPARED, unit, metric))
    if record["differences"]:
        against_reference = [row for row in record["differences"] if row["against"] == record["reference"]]
        charts.append(arm_figures.plot_differences(against_reference or record["differences"], COMPARED, unit, metric))
    body = [
        f"<h1>{_text(spec.title)}</h1>",
        f'<p class="verdict">{_text(record["verdict"])}</p>',
        f'<p class="soft">{_text(_about(record, spec, date))}</p>',
        _list("Limitations", record.get("notes", ())),
        *(_chart(figure, first=not number) for number, figure in enumerate(charts)),
        "<h2>Arms</h2>",
        _table(
            ("arm", "training molecules", metric, "mislabelled molecules selected"),
            [
                (
                    arm["name"],
                    _largest(arm["n_train"]),
                    _format_mean(arm.get(COMPARED)),
                    "–" if arm.get("mislabelled") is None else arm["mislabelled"],
                )
                for arm in record["arms"]
            ],
            "Mean and standard deviation over seeds.",
        ),
        "<h2>Differences</h2>",
        _table(
            ("arm", "against", f"difference of {metric}", "95 % interval", "verdict"),
            [
                (
                    row["arm"],
                    row["against"],
                    _signed(row["mean"]),
                    _interval(row),
                    row["verdict"],
                )
                for row in record["differences"]
            ],
            "Paired over the same test molecules and seeds. Negative: smaller error.",
        ),
        *_expectations(comparison),
        _picked(comparison),
        "<h2>Spec</h2>",
        "<p class='soft'>The same spec gives the same numbers: <code>python -m core run spec.json</code></p>",
        f"<pre>{_text(json.dumps(to_json(spec), indent=1, ensure_ascii=False))}</pre>",
    ]
    head = f'<meta charset="utf-8"><title>{_text(spec.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _about(record: dict[str, Any], spec: Spec, date: str) -> str:
    seeds = ", ".join(map(str, record["arms"][0]["seeds"]))
    text = (
        f"{record['n_test']:,} test molecules (digest {record['test_digest']}), the same for every arm; seeds {seeds}; "
    )
    text += f"{record.get('backbone')} on {record.get('device')}; run {spec.key}"
    return text + (f", {date}" if date else "")


def _text(value: Any) -> str:
    return html.escape(str(value))


def _format_mean(card: dict[str, Any] | None) -> str:
    mean, sd = mean_and_sd(card)
    if mean is None:
        return "–"
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if sd is not None else "")


def _or_dash(value: Any) -> Any:
    return "–" if value is None else value


def _interval(row: dict[str, Any]) -> str:
    return f"{_signed(row['low'])} to {_signed(row['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _largest(rows: Any) -> Any:
    return max(row for row in rows if row is not None) if isinstance(rows, list) else rows


def _list(title: str, sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(one)}</li>" for one in sentences)
    return f"<h2>{_text(title)}</h2><ul>{items}</ul>" if items else ""


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    """An HTML table; columns of numbers (a dash stands for none) are aligned to the right."""
    right = [
        any(map(_number, column)) and all(_number(one) or one == "–" for one in column)
        for column in zip(*rows, strict=True)
    ]
    classes = [' class="n"' if numbers else "" for numbers in right or [False] * len(names)]
    head = "".join(f"<th{of}>{_text(name)}</th>" for of, name in zip(classes, names, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{of}>{_text(value)}</td>" for of, value in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) or str(value)[:1] in "+-−0123456789"


def _chart(figure: Any, first: bool) -> str:
    """A chart as HTML; the first one contains the plotly code."""
    return figure.to_html(full_html=False, include_plotlyjs=first, config={"displaylogo": False, "responsive": True})


def _expectations(comparison: Comparison) -> list[str]:
    """Common expectations of such arms, and the outcome in this study."""
    outcomes = check_claims(comparison) if len(comparison.predictions) else []
    rows = [(one["expectation"], one["outcome"], _signed(one["mean"]), _interval(one)) for one in outcomes]
    names = ("expectation", "outcome", "difference", "95 % interval")
    caption = "For this table, this model and these seeds."
    return ["<h2>Common expectations, tested</h2>", _table(names, rows, caption)] if rows else []


def _picked(comparison: Comparison) -> str:
    """Structures of the first molecules that each arm selected."""
    picks, sections = comparison.picks, []
    for arm in dict.fromkeys(picks["arm"]):
        arm_picks = picks[picks["arm"] == arm]
        arm_picks = arm_picks[arm_picks["seed"] == arm_picks["seed"].min()].head(SHOWN_MOLECULES)
        drawings = "".join(
            f'<figure><img alt="" src="{depict.data_uri(depict.draw_svg(row.smiles, 220, 150))}">'
            f"<figcaption>{_text(row.smiles)}<br>measured {row.label:.3g}"
            f"{', swapped on purpose' if row.mislabelled else ''}</figcaption></figure>"
            for row in arm_picks.itertuples()
        )
        sections.append(f'<h3>{_text(arm)}</h3><div class="molecules">{drawings}</div>')
    return f"<h2>First {SHOWN_MOLECULES} selected molecules of each arm</h2>{''.join(sections)}" if sections else ""
