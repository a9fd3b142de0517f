"""A trained model on a page: its metrics, curve, parity plot, largest errors, cost."""

import pandas as pd
import streamlit as st

from core.figures import base as figures
from core.figures import labels as label_figures
from core.results.fit import Fit
from core.stats.conformal import estimate_share
from core.stats.formatting import format_interval, format_number, sd_of_interval
from core.stats.metrics import card_metrics, metric_name
from pages.base.service import load_product
from pages.base.shell import write_command
from pages.base.text import escape_markdown, format_bytes, format_device, format_duration, format_percent, loss_name
from pages.results.label_errors import show_label_errors
from pages.widgets.frame import export_buttons, show_command, show_warnings, to_csv
from pages.widgets.library_table import zip_export
from pages.widgets.molecules import show_paged_cards
from pages.widgets.run_picker import Run, read_spec


def fit_result(run: Run) -> None:
    """Everything a finished fit shows."""
    fit = load_product(run.entry)
    record = fit.record
    task = fit.tasks[0] if len(fit.tasks) == 1 else st.selectbox("Task", fit.tasks, key=f"task-{run.key}")
    index = fit.tasks.index(task)
    kind, unit = record["kinds"][index], record["unit"][index]
    metric_row(fit, task, kind, unit)
    show_warnings(record.get("warnings", []))
    first = {"Learning curve": len(fit.curve), "Members": record.get("members")}  # a baseline has no curve
    names = [name for name, there in first.items() if there]
    parity_title = "Classification" if kind == "binary" else "Predicted against measured"
    *begin, parity, worst, cost = st.tabs([*names, parity_title, "Largest errors", "Cost"])
    predictions = fit.predictions[fit.predictions["task"] == task]
    for name, tab in zip(names, begin, strict=True):
        with tab:
            member_table(record, task, kind, unit) if name == "Members" else learning_chart(fit, run.key)
    with parity:
        if kind == "binary":
            classification_charts(fit, task, predictions, run.key)
        else:
            figure = label_figures.plot_parity(predictions, unit)
            st.plotly_chart(
                figure, key=f"parity-{run.key}", config=figures.CONFIG, alt="Predictions against labels by part"
            )
    with worst:
        part = st.segmented_control("Set", ["test", "valid", "train"], default="test", key=f"worst-{run.key}") or "test"
        table = predictions[(predictions["part"] == part) & predictions["label"].notna()]
        error = (table["prediction"] - table["label"]).rename("error")
        table = table.assign(note=[f"error {format_number(value)}" for value in error])
        show_paged_cards(table.iloc[error.abs().argsort()[::-1]].head(48), f"worst-pages-{run.key}", unit)
    with cost:
        cost_table(record)
    show_label_errors(run)
    export_formats(run, record)
    tables = {"predictions": lambda: to_csv(fit.predictions)}
    tables |= {"curve": lambda: to_csv(fit.curve)} if len(fit.curve) else {}
    export_buttons(f"fit-{run.key}", run.entry.summary, tables, run.key)
    if (spec := read_spec(run)) is not None:
        show_command(spec)


def export_formats(run: Run, record: dict) -> None:
    """Buttons that download the network in formats that other programs read."""
    forms = record.get("forms") or ()
    with st.container(horizontal=True):
        for form in forms:
            st.download_button(
                FORMAT_NAMES.get(form, form),
                data=lambda form=form: zip_export(run.entry, form),
                file_name=f"molsway-{form}-{run.key}.zip",
                mime="application/zip",
                key=f"portable-{run.key}-{form}",
                on_click="ignore",
                icon=":material/deployed_code:",
                help=f"The same from a shell: {write_command(f'export {run.key} DIR --as {form}')}",
            )


FORMAT_NAMES = {"adapter": "Adapter for peft (zip)", "merged": "Merged checkpoint (zip)"}


def classification_charts(fit: Fit, task: str, predictions: pd.DataFrame, key: str) -> None:
    """How well two classes are separated, how calibrated the probabilities are, and the rates at a threshold of 0.5."""
    test = predictions[(predictions["part"] == "test") & predictions["label"].notna()]
    y, p = test["label"].to_numpy(float), test["prediction"].to_numpy(float)
    left, right = st.columns(2)
    figure = label_figures.plot_roc(predictions, {"test": fit.interval(task, "auroc")})
    left.plotly_chart(
        figure, key=f"roc-{key}", config=figures.CONFIG, alt="True positive rate against false positive rate"
    )
    left.caption(
        "The area under the curve is the AUROC: the probability that a random positive gets a higher score than a "
        "random negative."
    )
    figure = label_figures.plot_reliability(y, p)
    right.plotly_chart(
        figure, key=f"reliable-{key}", config=figures.CONFIG, alt="Share of positives by predicted probability"
    )
    right.caption(
        "Calibration on the test set, with equally many molecules per point and 95 % intervals. On the line, predicted "
        "probabilities equal observed frequencies."
    )
    sentences = [
        f"{format_percent(one['share'])} ({format_percent(one['low'])} to {format_percent(one['high'])}) of the "
        f"{one['n']:,} {name}"
        for label, name in ((1, "positives are detected"), (0, "negatives are misclassified as positive"))
        if (one := estimate_share(p[y == label] > 0.5))["n"]
    ]
    if sentences:
        st.markdown(f"At a threshold of 0.5, {'; '.join(sentences)} (95 % intervals).")


def learning_chart(fit: Fit, key: str) -> None:
    """The training and validation loss by epoch."""
    st.plotly_chart(
        figures.plot_learning_curves(
            {"": fit.curve}, {"": fit.record.get("best_epoch")}, loss_name(fit.record["kinds"])
        ),
        key=f"curve-{key}",
        config=figures.CONFIG,
        alt="Training and validation loss by epoch; the best epoch is marked",
    )
    sentence = "The model has the weights of the marked epoch, which has the lowest validation loss."
    if spare := fit.suggest_patience():
        patience, seconds = spare
        sentence += (
            f" With a `patience` of {patience} the training would have ended after {format_duration(seconds)} instead "
            f"of {format_duration(fit.curve['seconds'].iloc[-1])}, with the same weights; this depends on the seed."
        )
    st.caption(sentence)


def member_table(record: dict, task: str, kind: str, unit: str) -> None:
    """The error of each member of an ensemble, of their mean, and the spread of the members."""
    metrics = card_metrics(kind)[:2]
    cards = {f"seed {one['seed']}": one["metrics"] for one in record["members"]} | {"their mean": record["metrics"]}
    rows = {
        name: {
            f"{one.name}, {words}": one.format_value(card[part][task].get(one.key))
            for part, words in (("valid", "validation"), ("test", "test"))
            for one in metrics
        }
        for name, card in cards.items()
    }
    st.dataframe(pd.DataFrame.from_dict(rows, orient="index"), alt="Errors of the members and of their mean")
    spread = record["apart"][task]
    sentence = (
        f"Standard deviation of the members on a test molecule: {format_number(spread['spread'])} "
        f"{escape_markdown(unit)}".rstrip()
        + "."
    )
    if spread["spearman"] is not None:
        sentence += (
            f" Its rank correlation with the error of the mean is {format_number(spread['spearman'])}: 1 if the spread "
            "always shows where the mean is wrong, 0 if it never does."
        )
    st.caption(sentence)


def list_undefined(fit: Fit, task: str, kind: str) -> list[str]:
    """Why metrics of the test and validation set are missing, or intervals of the former; one sentence a reason."""
    missing = [
        ("Undefined on the test set", fit.metrics["test"][task].get("undefined", {})),
        ("Undefined on the validation set", fit.metrics["valid"][task].get("undefined", {})),
        ("Without an interval", fit.record.get("undefined_intervals", {}).get(task, {})),
    ]
    return [
        f"{title}: {', '.join(metric_name(key, kind) for key in reasons if reasons[key] == reason)} ({reason})."
        for title, reasons in missing
        for reason in dict.fromkeys(reasons.values())
    ]


def metric_row(fit: Fit, task: str, kind: str, unit: str) -> None:
    """The metrics on the test set, with those on the validation set below each."""
    test, valid = fit.metrics["test"][task], fit.metrics["valid"][task]
    metrics = card_metrics(kind)
    with st.container(border=True):
        st.caption(f"{escape_markdown(task)}: test set, {test['n']:,} molecules, not used for training or selection")
        for column, one in zip(st.columns(len(metrics)), metrics, strict=True):
            span = fit.interval(task, one.key)
            explanation = f"{one.help} Undefined without {one.needs}."
            column.metric(
                one.title(escape_markdown(unit)),
                format_number(test.get(one.key), sd_of_interval(span)),
                help=explanation,
            )
            column.caption(
                f"{f'95 %: {format_interval(span)}; ' if span else ''}validation "
                f"{format_number(valid.get(one.key), sd_of_interval(span))}"
            )
        for sentence in list_undefined(fit, task, kind):
            st.caption(escape_markdown(sentence))
        if fit.record.get("intervals"):
            st.caption(
                "Intervals: bootstrap over the test molecules, 1,000 resamples. They do not include the variation "
                "between training seeds."
            )


def cost_table(record: dict) -> None:
    """What was trained, and what it cost."""
    trained, total = record.get("trainable"), record.get("parameters")
    facts = {
        "Backbone": record.get("backbone"),
        "Method": str((record.get("method") or {}).get("kind", "")).replace("-", " "),
        "Features": record.get("features"),
        "Features added to the embedding": record.get("beside"),
        "Trainable weights": f"{trained:,} of {total:,} ({trained / total:.1%})" if trained and total else None,
        "Trainable in the backbone": count_backbone_weights(record),
        "Molecules": ", ".join(f"{name} {count:,}" for name, count in record.get("rows", {}).items()),
        "Steps": record.get("steps"),
        "Peak learning rate": record.get("learning_rate"),
        "Training time": format_duration(record.get("seconds")),
        "Time to the best epoch": format_duration(record["seconds_to_best"]) if record.get("seconds_to_best") else None,
        "Peak memory": format_bytes(record["peak_memory"]) if record.get("peak_memory") else None,
        "Energy": f"{record['energy'] / 1000:.1f} kJ" if record.get("energy") else None,
        "Device": format_device(record.get("device")),
        "Precision": record.get("precision"),
        "Seed": record.get("seed"),
        "Members": ", ".join(f"seed {one['seed']}" for one in record.get("members", [])),
    }
    rows = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    table = pd.DataFrame({"what": rows.keys(), "value": rows.values()})
    width = {"what": st.column_config.TextColumn(width=210)}
    st.dataframe(table, hide_index=True, height="content", column_config=width, alt="Cost")
    for sentence in (describe_checks(record.get("proof")), describe_search(record.get("tuned"))):
        if sentence:
            st.caption(sentence)


def count_backbone_weights(record: dict) -> str | None:
    """How many weights of the backbone were trained; of a multitask model under a head, how many it has."""
    trained, total = record.get("backbone_trainable"), record.get("backbone_parameters")
    if not total:
        return None
    return f"{total:,} weights" if trained is None else f"{trained:,} of {total:,} ({trained / total:.2%})"


def describe_checks(proof: dict | None) -> str | None:
    """What the checks at the start and the end of the training showed."""
    if not proof:
        return None
    return (
        "Checked: the number of trainable backbone weights equals the formula of the method, each of "
        f"{proof['tensors_with_gradient']} trainable tensors gets a gradient, the embeddings are unchanged before the "
        f"first step, and {proof['tensors_frozen']} frozen tensors are unchanged after training."
    )


def describe_search(tuned: dict | None) -> str | None:
    """The learning rates of a search, with the validation loss that each reached, and its budget."""
    if not tuned:
        return None
    pairs = zip(tuned["learning_rates"], tuned["valid_losses"], strict=True)
    losses = ", ".join(f"{rate:g} ({format_number(loss)})" for rate, loss in pairs)
    budget = f"{tuned['steps']:,} steps each, seed {tuned['seed']}, {format_duration(tuned['seconds'])} in total"
    return f"Learning rates tried, with the best validation loss: {losses}; {budget}."
