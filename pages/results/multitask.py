"""Results of multitask training on a page: the model, together or alone, transfer, ablation, representation."""

from typing import Any

import pandas as pd
import streamlit as st

from core.figures import base as figures
from core.figures import multitask as mixture_figures
from core.results.mixture_text import factor_effects, size_differences, size_means, table_means, task_means
from core.stats.metrics import averaged_metrics, metric_name
from pages.base.address import door
from pages.base.service import load_product
from pages.base.shell import write_command
from pages.base.text import escape_markdown, format_bytes, format_device, format_duration, with_minus_signs
from pages.widgets.frame import export_buttons, show_command, show_verdict, show_warnings, to_csv
from pages.widgets.run_picker import Run, read_spec


def multitask_result(run: Run) -> None:
    """A multitask model: the error on each table, the molecules that were left out of training, the cost."""
    model = load_product(run.entry)
    record = model.record
    cards = record["members"]
    for column, (label, value) in zip(
        st.columns(4),
        (
            ("Tables", f"{len(cards)}"),
            ("Training molecules", f"{sum(one['rows']['train'] for one in cards):,}"),
            ("Weights of the shared backbone", f"{record['backbone_parameters']:,}"),
            ("Training time", format_duration(record["seconds"])),
        ),
        strict=True,
    ):
        column.metric(label, value)
    st.caption(
        f"Seed {record['seed']}, {record['steps']:,} steps in {escape_markdown(record['precision'])} on "
        f"{escape_markdown(format_device(record.get('device')))}. Mixing of tables: {record['mixing']}; weights of "
        f"losses: {'learned from task uncertainty' if record['weighting'] == 'learned' else record['weighting']}.",
        help=f"Digest of the training data: {record['corpus']}",
    )
    show_warnings(record.get("warnings", []))
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
    means = pd.DataFrame(rows).fillna("–")  # regression and classification have other metrics
    st.dataframe(means, hide_index=True, alt="Test metrics of each table, mean over tasks")
    if any("means_intervals" in one for one in cards):
        st.caption(
            "In brackets: 95 % intervals over the test molecules. They do not include the variation between training "
            "seeds."
        )
    for one in cards:
        if one["unlearnable"]:
            st.caption(
                escape_markdown(
                    f"{one['name']}: {len(one['unlearnable'])} tasks have a single training label and are left out"
                )
            )
        for name, missing in one["means"]["test"]["undefined"].items():
            tasks = ", ".join(missing[:6]) + (" and others" if len(missing) > 6 else "")
            st.caption(
                escape_markdown(
                    f"{one['name']}: {metric_name(name)} is undefined on the test set for {tasks}, which the mean "
                    "leaves out."
                )
            )
    curve = model.curve
    losses = [name for name in curve if name.startswith("loss: ")]
    curves = {
        name.removeprefix("loss: "): curve[["epoch", name]].rename(columns={name: "valid_loss"}) for name in losses
    }
    st.plotly_chart(figures.plot_learning_curves(curves), key=f"curve-{run.key}", config=figures.CONFIG,
                    alt="Validation loss of each table by epoch")  # fmt: skip
    tasks, lost = st.tabs(["By task", "Left out of training"])
    with tasks:
        name = st.selectbox("Table", [one["name"] for one in cards], key=f"member-{run.key}")
        task_rows = task_table(next(one for one in cards if one["name"] == name))
        st.dataframe(task_rows, hide_index=True, alt=f"Test metrics of each task of {name}")
    with lost:
        left_out = [{"table": one["name"], **row} for one in cards for row in one["left_out"]]
        if left_out:
            st.dataframe(pd.DataFrame(left_out), hide_index=True, alt="Molecules left out, with the reason")
        st.caption(
            "Molecules in any table’s validation or test set are excluded from training (ignoring stereochemistry)."
        )
    st.caption(
        f"It can now be used as a backbone: choose it on the page Train, or run `{write_command(f'embed {run.key}')} "
        f"TABLE --out FILE` or `{write_command(f'predict {run.key}')} TABLE --out FILE`."
    )
    if any(not one["atoms"] for one in cards):
        door("Predict with it", "pages/views/predict.py", "predict", ":material/query_stats:", fit=run.key)
    close_result(run, "multitask", {"predictions": model.predictions, "curve": curve})


def task_table(card: dict) -> pd.DataFrame:
    """One row per task of a table, with every test metric; – where it is undefined."""
    rows, tasks = [], card["metrics"]["test"]
    measured = [one for one in averaged_metrics() if any(one.key in values for values in tasks.values())]
    for task, values in tasks.items():
        intervals = card.get("intervals", {}).get(task, {})
        cells = {one.name: one.format_value(values.get(one.key), intervals.get(one.key)) for one in measured}
        rows.append({"task": task, "measured": values["n"], **cells})
    return pd.DataFrame(rows)


def together_or_alone_result(run: Run) -> None:
    """Tables alone and together: the verdict, the chart, the differences with intervals, the cost."""
    study, record = open_result(run)
    st.caption(f"Seeds {seeds_of(record)}; every table is tested on its own test set, the same in all arms.")
    show_warnings(describe_failures(record, "arm", "member"))
    metrics = [one.key for one in averaged_metrics() if any(row.get(one.key) for row in record["means"])]
    metric = st.segmented_control(
        "Metric", metrics, default=metrics[0], format_func=metric_name, key=f"metric-{run.key}"
    )
    metric = metric or metrics[0]
    figure = mixture_figures.plot_multitask_means(record["means"], metric, metric_name(metric), record["published"])
    st.plotly_chart(figure, key=f"together-{run.key}", config=figures.CONFIG, alt="Each table alone and together")
    if record["published"]:
        st.caption(f"Hollow markers: published values. {escape_markdown(record['published'][0]['source'])}.")
    for name in dict.fromkeys(one["metric"] for one in record["differences"]):
        st.plotly_chart(mixture_figures.plot_differences(record["differences"], name), key=f"apart-{name}-{run.key}",
                        config=figures.CONFIG, alt=f"Differences of {name} with intervals")  # fmt: skip
    st.caption(
        "Controls: “as many steps” trains on the single table for as many optimiser steps as all tables together take; "
        "“as many molecules” sees as many molecules of that table as the joint training does. Only the first separates "
        "the effect of the other tables from that of longer training."
    )
    tables, tasks = st.tabs(["By table", "By task"])
    with tables:
        st.dataframe(table_means(record), hide_index=True, alt="Means with standard deviations")
    with tasks:
        name = st.selectbox("Table", [one["name"] for one in record["members"]], key=f"member-{run.key}")
        st.dataframe(task_means(study.table, name), hide_index=True, alt=f"Every task of {name}, arm by arm")
    costs = [
        {
            "network": one["backbone"].removesuffix(" (random weights)"),
            "arm": one["arm"],
            "steps": f"{one['steps']:,}",
            "weights": f"{one['parameters']:,}",
            "time per seed": format_duration(one["seconds"]),
            "memory": format_bytes(one["peak_memory"]) if one["peak_memory"] else "–",
            "device": format_device(one.get("device")),
        }
        for one in record["costs"]
    ]
    st.dataframe(pd.DataFrame(costs), hide_index=True, alt="Cost of each arm")
    close_result(run, "mixture", {"tasks": study.table})


def transfer_result(run: Run) -> None:
    """The test error after starting from each backbone, by the number of training molecules."""
    study, record = open_result(run)
    st.caption(
        f"Seeds {seeds_of(record)}: each draws different molecules, the same for all arms. The validation set has an "
        "eighth of the size of the training set.",
        help=f"Digest of the test set: {record['digests']['test']}",
    )
    show_warnings([*record["notes"], *describe_failures(record, "arm", "size")])
    points, methods = record["points"], record.get("methods", [])
    if len(methods) > 1:
        baselines = record["baselines"]
        several = len({one["arm"] for one in points} - set(baselines)) > len(
            methods
        )  # several backbones: one method at a time
        first = methods[0] if several else "all"
        by = st.segmented_control("Method", ["all", *methods], default=first, key=f"by-{run.key}") or "all"
        points = [one for one in points if by == "all" or one["arm"] in baselines or one["arm"].endswith(f", {by}")]
    figure = mixture_figures.plot_transfer(points, record["metric"], record["unit"], record["baselines"])
    st.plotly_chart(
        figure, key=f"transfer-{run.key}", config=figures.CONFIG, alt="Test error by number of training molecules"
    )
    sizes, apart = st.tabs(["By size", "Differences"])
    with sizes:
        st.dataframe(size_means(record), hide_index=True, alt="Mean and standard deviation of every arm and size")
    with apart:
        differences = size_differences(record)
        st.dataframe(differences, hide_index=True, alt=f"Differences of {record['metric']} between arms")
    close_result(run, "transfer", {"arms": study.table})


def ablation_result(run: Run) -> None:
    """Whether more tables or more compounds make a shared backbone better."""
    study, record = open_result(run)
    st.caption(
        f"Every backbone is trained for {record['steps']:,} steps on {record['columns']:,} task(s) of each of its "
        f"tables. Seeds {seeds_of(record)}.",
        help=f"Digest of the test set: {record['digests']['test']}",
    )
    show_warnings(describe_failures(record, "tables", "molecules"))
    cells = [one for one in record["cells"] if one["families"]]
    figure = mixture_figures.plot_ablation(cells, record["scratch"], record["metric"], record["unit"])
    st.plotly_chart(figure, key=f"variety-{run.key}", config=figures.CONFIG, alt="Error by tables and molecules")
    if sets := record.get("sets"):  # results of an earlier revision have none
        figure = mixture_figures.plot_table_sets(sets, record["scratch"], record["metric"], record["unit"])
        st.plotly_chart(figure, key=f"sets-{run.key}", config=figures.CONFIG, alt="Error by set of tables")
    st.caption(
        "Intervals are over training runs, on the same test molecules. “One table more” keeps the number of molecules "
        "fixed. The row of a table is the effect of including it, so that a gain from variety can be told from the "
        "gain of one closely related table. The best single table is chosen by the same errors, which slightly favours "
        "it over the combination."
    )
    st.dataframe(factor_effects(record), hide_index=True, alt="Effect of each factor on the error, with its interval")
    close_result(run, "variety", {"training runs": study.table})


def representation_result(run: Run) -> None:
    """What backbones have learned: how similar their layers are, and what a linear probe reads from them."""
    report, record = open_result(run)
    st.caption(
        f"{record['molecules']:,} molecules; five random splits for each linear probe.",
        help=f"Digest: {record['digest']}",
    )
    name = st.selectbox("Property", record["asked"], key=f"asked-{run.key}")
    rows = report.table.to_dict("records")
    st.plotly_chart(mixture_figures.plot_probes(rows, name), key=f"probe-{run.key}", config=figures.CONFIG,
                    alt=f"How well a probe reads {name} from each layer")  # fmt: skip
    one, other = st.columns(2)
    first = one.selectbox("Layers of", record["trunks"], key=f"one-{run.key}")
    second = other.selectbox("Compared with layers of", record["trunks"], index=1, key=f"other-{run.key}")
    st.plotly_chart(mixture_figures.plot_cka(record["alike"], first, second), key=f"cka-{run.key}",
                    config=figures.CONFIG, alt="Similarity of every two layers")  # fmt: skip
    st.caption("Linear CKA, unbiased: 1 means equal up to rotation and scale, 0 unrelated.")
    close_result(run, "representation", {"probes": report.table, "similarity": pd.DataFrame(record["alike"])})


def open_result(run: Run) -> tuple[Any, dict[str, Any]]:
    """The product of a run and its record; its verdict is shown."""
    product = load_product(run.entry)
    show_verdict(with_minus_signs(product.record["verdict"]))
    return product, product.record


def close_result(run: Run, name: str, tables: dict[str, pd.DataFrame]) -> None:
    """The exports and the command."""
    data = {label: lambda table=table: to_csv(table) for label, table in tables.items()}
    export_buttons(f"{name}-{run.key}", run.entry.summary, data, run.key)
    if (spec := read_spec(run)) is not None:
        show_command(spec)


def seeds_of(record: dict[str, Any]) -> str:
    return ", ".join(map(str, record["seeds"]))


def describe_failures(record: dict, *names: str) -> list[str]:
    """One sentence per training run that failed."""
    return [
        f"{', '.join(str(one[name] or 'all') for name in names)}, seed {one['seed']} failed: {one['reason']}"
        for one in record["failed"]
    ]
