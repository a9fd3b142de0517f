"""What many tables at once came to, on a page: a trunk, tables alone and together, transfer, variety against number."""

import pandas as pd
import streamlit as st

from core.figures import base as figures
from core.figures import multitask as mixture_figures
from core.results.mixture_text import apart_by_size, by_factor, by_size, by_table, by_task
from core.stats.metrics import averaged_metrics, called
from pages.base.service import product
from pages.base.text import device_name, duration, minus, plain, size
from pages.widgets.frame import as_csv, command, exports, notes, verdict
from pages.widgets.run_picker import Run, readable


def trunk_result(run: Run) -> None:
    """A trunk: how each of its tables is predicted, what each lost so that no part knows another, what it cost."""
    made = product(run.entry)
    record = made.record
    cards = record["members"]
    for column, (label, value) in zip(
        st.columns(4),
        (
            ("Tables", f"{len(cards)}"),
            ("Molecules learned", f"{sum(one['rows']['train'] for one in cards):,}"),
            ("Weights of the trunk", f"{record['backbone_parameters']:,}"),
            ("Training", duration(record["seconds"])),
        ),
        strict=True,
    ):
        column.metric(label, value)
    st.caption(
        f"Seed {record['seed']}, {record['steps']:,} steps of {plain(record['precision'])} on "
        f"{plain(device_name(record.get('device')))}; mixed {record['mixing']}, weighed "
        f"{'by learned uncertainty' if record['weighting'] == 'learned' else record['weighting']}; digest "
        f"{record['corpus']}."
    )
    notes(record.get("warnings", []))
    rows = [
        {"table": one["name"], "molecules": one["rows"]["train"], "labels": one["labels"], "tasks": len(one["tasks"])}
        | {
            metric.name: metric.format_value(
                one["means"]["test"].get(metric.key), one.get("means_intervals", {}).get(metric.key)
            )
            for metric in averaged_metrics()
            if any(each["means"]["test"].get(metric.key) is not None for each in cards)
        }
        for one in cards
    ]
    means = pd.DataFrame(rows).fillna("–")  # of a table of the other kind
    st.dataframe(means, hide_index=True, alt="How each table's test part is predicted, mean over tasks")
    if any("means_intervals" in one for one in cards):
        st.caption("In brackets 95 % intervals, of the test molecules alone; another seed moves the numbers too.")
    for one in cards:
        if one["unlearnable"]:
            st.caption(plain(f"{one['name']}: {len(one['unlearnable'])} tasks have no two different training labels"))
        for name, missing in one["means"]["test"]["undefined"].items():
            tasks = ", ".join(missing[:6]) + (" and others" if len(missing) > 6 else "")
            st.caption(
                plain(f"{one['name']}: {called(name)} is undefined in the test part for {tasks}; not in the mean.")
            )
    curve = made.curve
    losses = [name for name in curve if name.startswith("loss: ")]
    drawn = {
        name.removeprefix("loss: "): curve[["epoch", name]].rename(columns={name: "valid_loss"}) for name in losses
    }
    st.plotly_chart(figures.learning_curves(drawn), key=f"curve-{run.key}", config=figures.CONFIG,
                    alt="Validation loss of each table by epoch")  # fmt: skip
    tasks, lost = st.tabs(["By task", "Kept out of training"])
    with tasks:
        name = st.selectbox("Table", [one["name"] for one in cards], key=f"member-{run.key}")
        told = task_table(next(one for one in cards if one["name"] == name))
        st.dataframe(told, hide_index=True, alt=f"Test metrics of each task of {name}")
    with lost:
        shown = [{"table": one["name"], **row} for one in cards for row in one["left_out"]]
        if shown:
            st.dataframe(pd.DataFrame(shown), hide_index=True, alt="Molecules that a part lost, and why")
        st.caption(
            "No molecule, stereo marks aside, is learned from where any of the tables is chosen or tested by it."
        )
    tables = {"predictions": lambda: as_csv(made.predictions), "curve": lambda: as_csv(curve)}
    exports(f"trunk-{run.key}", run.entry.summary, tables, run.key)
    st.caption(
        f"It is a backbone now: choose it in Train, or `python -m core embed {run.key} TABLE --out FILE`, "
        f"`python -m core predict {run.key} TABLE --out FILE`."
    )
    if any(not one["atoms"] for one in cards) and st.button("Predict with it", icon=":material/query_stats:"):
        st.switch_page("pages/views/predict.py", query_params={"fit": run.key})
    _command(run)


def task_table(card: dict) -> pd.DataFrame:
    """A row a task of a table, every metric of its test part; – where it is undefined."""
    rows, tasks = [], card["metrics"]["test"]
    measured = [one for one in averaged_metrics() if any(one.key in found for found in tasks.values())]
    for task, found in tasks.items():
        sure = card.get("intervals", {}).get(task, {})
        shown = {one.name: one.format_value(found.get(one.key), sure.get(one.key)) for one in measured}
        rows.append({"task": task, "measured": found["n"], **shown})
    return pd.DataFrame(rows)


def mixture_study_result(run: Run) -> None:
    """Tables alone and together: the sentence, the picture, differences beside their noise, what each took."""
    made = product(run.entry)
    record = made.record
    verdict(minus(record["verdict"]))
    st.caption(f"Seeds {', '.join(map(str, record['seeds']))}; every table on its own test part, the same in all arms.")
    notes(failures(record, "arm", "member"))
    known = [one.key for one in averaged_metrics() if any(row.get(one.key) for row in record["means"])]
    metric = st.segmented_control("Metric", known, default=known[0], format_func=called, key=f"metric-{run.key}")
    metric = metric or known[0]
    figure = mixture_figures.together(record["means"], metric, called(metric), record["published"])
    st.plotly_chart(figure, key=f"together-{run.key}", config=figures.CONFIG, alt="Each table alone and together")
    if record["published"]:
        st.caption(f"Hollow: published numbers, not ours. {plain(record['published'][0]['source'])}.")
    for name in dict.fromkeys(one["metric"] for one in record["differences"]):
        st.plotly_chart(mixture_figures.differences(record["differences"], name), key=f"apart-{name}-{run.key}",
                        config=figures.CONFIG, alt=f"Differences of {name} with intervals")  # fmt: skip
    st.caption(
        "“As many steps”: as many optimiser steps as the mixture takes, all on the one table; “as many molecules”: the "
        "molecules of that table that the mixture reads. Only the first tells learning together from training longer."
    )
    tables, tasks = st.tabs(["By table", "By task"])
    with tables:
        st.dataframe(by_table(record), hide_index=True, alt="Every mean with its standard deviation")
    with tasks:
        name = st.selectbox("Table", [one["name"] for one in record["members"]], key=f"member-{run.key}")
        st.dataframe(by_task(made.table, name), hide_index=True, alt=f"Every task of {name}, arm by arm")
    costs = [
        {
            "network": one["backbone"].removesuffix(" (random weights)"),
            "arm": one["arm"],
            "steps": f"{one['steps']:,}",
            "weights": f"{one['parameters']:,}",
            "time of a seed": duration(one["seconds"]),
            "memory": size(one["peak_memory"]) if one["peak_memory"] else "–",
            "device": device_name(one.get("device")),
        }
        for one in record["costs"]
    ]
    st.dataframe(pd.DataFrame(costs), hide_index=True, alt="What each arm takes")
    exports(f"mixture-{run.key}", run.entry.summary, {"tasks": lambda: as_csv(made.table)}, run.key)
    _command(run)


def transfer_result(run: Run) -> None:
    """What a start is worth by how much was measured."""
    made = product(run.entry)
    record = made.record
    verdict(minus(record["verdict"]))
    st.caption(
        f"Seeds {', '.join(map(str, record['seeds']))}: each draws other molecules; all arms of a seed see the same. "
        f"Test digest {record['digests']['test']}. The validation part grows with the training part, an eighth of it."
    )
    notes([*record["notes"], *failures(record, "arm", "size")])
    points, methods = record["points"], record.get("methods", [])
    if len(methods) > 1:
        known = record["baselines"]
        several = len({one["arm"] for one in points} - set(known)) > len(methods)  # starts: a method at a time
        first = methods[0] if several else "all"
        by = st.segmented_control("Drawn", ["all", *methods], default=first, key=f"by-{run.key}") or "all"
        points = [one for one in points if by == "all" or one["arm"] in known or one["arm"].endswith(f", {by}")]
    figure = mixture_figures.transfer(points, record["metric"], record["unit"], record["baselines"])
    st.plotly_chart(
        figure, key=f"transfer-{run.key}", config=figures.CONFIG, alt="Test error by molecules learned from"
    )
    sizes, apart = st.tabs(["By size", "Differences"])
    with sizes:
        st.dataframe(by_size(record), hide_index=True, alt="Mean and standard deviation of every arm and size")
    with apart:
        shown = apart_by_size(record)
        st.dataframe(shown, hide_index=True, alt=f"Differences of {record['metric']} of arms")
    exports(f"transfer-{run.key}", run.entry.summary, {"arms": lambda: as_csv(made.table)}, run.key)
    _command(run)


def ablation_result(run: Run) -> None:
    """Whether variety or number makes a trunk worth more."""
    made = product(run.entry)
    record = made.record
    verdict(minus(record["verdict"]))
    st.caption(
        f"Every trunk takes {record['steps']:,} steps and learns {record['columns']} tasks of each of its tables; "
        f"seeds {', '.join(map(str, record['seeds']))}; test digest {record['digests']['test']}."
    )
    notes(failures(record, "tables", "molecules"))
    cells = [one for one in record["cells"] if one["families"]]
    figure = mixture_figures.variety(cells, record["scratch"], record["metric"], record["unit"])
    st.plotly_chart(figure, key=f"variety-{run.key}", config=figures.CONFIG, alt="Error by tables and molecules")
    if sets := record.get("sets"):  # what was made by an earlier revision has none
        figure = mixture_figures.by_sets(sets, record["scratch"], record["metric"], record["unit"])
        st.plotly_chart(figure, key=f"sets-{run.key}", config=figures.CONFIG, alt="Error by which tables were learned")
    st.caption(
        "Intervals are over trainings, on the same test molecules. “One table more” holds the number of molecules; a "
        "table’s own row says what having it does, so that variety is not taken for the luck of a table that is kin. "
        "The best of a blend’s tables is chosen by the same errors, which leans a little against the blend."
    )
    st.dataframe(by_factor(record), hide_index=True, alt="What each factor does to the error, with its interval")
    exports(f"variety-{run.key}", run.entry.summary, {"trainings": lambda: as_csv(made.table)}, run.key)
    _command(run)


def representation_result(run: Run) -> None:
    """What trunks hold: how alike their layers are, and what can be read from each."""
    made = product(run.entry)
    record = made.record
    verdict(minus(record["verdict"]))
    st.caption(f"{record['molecules']:,} molecules, digest {record['digest']}; five random splits for each probe.")
    asked = st.selectbox("Asked for", record["asked"], key=f"asked-{run.key}")
    rows = made.table.to_dict("records")
    st.plotly_chart(mixture_figures.probes(rows, asked), key=f"probe-{run.key}", config=figures.CONFIG,
                    alt=f"How well {asked} is read from each layer")  # fmt: skip
    one, other = st.columns(2)
    first = one.selectbox("Layers of", record["trunks"], key=f"one-{run.key}")
    second = other.selectbox("beside those of", record["trunks"], index=1, key=f"other-{run.key}")
    st.plotly_chart(mixture_figures.likeness(record["alike"], first, second), key=f"cka-{run.key}",
                    config=figures.CONFIG, alt="Likeness of every two layers")  # fmt: skip
    st.caption("Linear CKA, unbiased: 1 the same up to a rotation and a scale, 0 unrelated.")
    alike = pd.DataFrame(record["alike"])
    exports(f"representation-{run.key}", run.entry.summary,
            {"probes": lambda: as_csv(made.table), "likeness": lambda: as_csv(alike)}, run.key)  # fmt: skip
    _command(run)


def failures(record: dict, *places: str) -> list[str]:
    """A sentence a training that failed."""
    return [
        f"{', '.join(str(one[place] or 'all') for place in places)}, seed {one['seed']} failed: {one['reason']}"
        for one in record["failed"]
    ]


def _command(run: Run) -> None:
    if (spec := readable(run)) is not None:
        command(spec)
