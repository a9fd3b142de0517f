"""A Fit on a page: its numbers, curve, parity, worst molecules, cost."""

import pandas as pd
import streamlit as st

from core.figures import base as figures
from core.figures import labels as label_figures
from core.results.fit import Fit
from core.stats.conformal import share
from core.stats.formatting import bounds, noise_of, number
from core.stats.metrics import card_metrics
from pages.base.service import product
from pages.base.text import device_name, duration, loss_of, percent, plain, size
from pages.results.label_errors import suspects
from pages.widgets.frame import as_csv, command, exports, notes
from pages.widgets.molecules import pages_of_cards
from pages.widgets.run_picker import Run, readable
from pages.widgets.store_table import exported


def fit_result(run: Run) -> None:
    """Everything a finished fit shows."""
    fit = product(run.entry)
    record = fit.record
    task = fit.tasks[0] if len(fit.tasks) == 1 else st.selectbox("Task", fit.tasks, key=f"task-{run.key}")
    place = fit.tasks.index(task)
    kind, unit = record["kinds"][place], record["unit"][place]
    numbers(fit, task, kind, unit)
    notes(record.get("warnings", []))
    first = {"Learning curve": len(fit.curve), "Members": record.get("members")}  # a baseline has no curve
    names = [name for name, there in first.items() if there]
    beside = "Classes told apart" if kind == "binary" else "Prediction against label"
    *begin, parity, worst, cost = st.tabs([*names, beside, "Largest errors", "Cost"])
    mine = fit.predictions[fit.predictions["task"] == task]
    for name, tab in zip(names, begin, strict=True):
        with tab:
            members(record, task, kind, unit) if name == "Members" else learning(fit, run.key)
    with parity:
        if kind == "binary":
            classes(fit, task, mine, run.key)
        else:
            figure = label_figures.parity(mine, unit)
            st.plotly_chart(
                figure, key=f"parity-{run.key}", config=figures.CONFIG, alt="Predictions against labels by part"
            )
    with worst:
        part = (
            st.segmented_control("Part", ["test", "valid", "train"], default="test", key=f"worst-{run.key}") or "test"
        )
        table = mine[(mine["part"] == part) & mine["label"].notna()]
        error = (table["prediction"] - table["label"]).rename("error")
        table = table.assign(note=[f"error {number(value)}" for value in error])
        pages_of_cards(table.iloc[error.abs().argsort()[::-1]].head(48), f"worst-pages-{run.key}", unit)
    with cost:
        costs(record)
    suspects(run)
    portable(run, record)
    tables = {"predictions": lambda: as_csv(fit.predictions)}
    tables |= {"curve": lambda: as_csv(fit.curve)} if len(fit.curve) else {}
    exports(f"fit-{run.key}", run.entry.summary, tables, run.key)
    if (spec := readable(run)) is not None:
        command(spec)


def portable(run: Run, record: dict) -> None:
    """Buttons that download the network in forms that other programs read."""
    forms = record.get("forms") or ()
    with st.container(horizontal=True):
        for form in forms:
            st.download_button(
                FORMS.get(form, form),
                data=lambda form=form: exported(run.entry, form),
                file_name=f"molsway-{form}-{run.key}.zip",
                mime="application/zip",
                key=f"portable-{run.key}-{form}",
                on_click="ignore",
                icon=":material/deployed_code:",
                help=f"The same from a shell: python -m core export {run.key} DIR --as {form}",
            )


FORMS = {"adapter": "Adapter for peft (zip)", "merged": "Merged checkpoint (zip)"}


def classes(fit: Fit, task: str, predictions: pd.DataFrame, key: str) -> None:
    """How two classes are told apart, whether probabilities are what they say, and what one half as the limit does."""
    test = predictions[(predictions["part"] == "test") & predictions["label"].notna()]
    y, p = test["label"].to_numpy(float), test["prediction"].to_numpy(float)
    left, right = st.columns(2)
    figure = label_figures.roc(predictions, {"test": fit.interval(task, "auroc")})
    left.plotly_chart(figure, key=f"roc-{key}", config=figures.CONFIG, alt="Ones found against zeros taken for one")
    left.caption("The area under it is the AUROC: the chance that a 1 is told a higher probability than a 0.")
    figure = label_figures.reliability(y, p)
    right.plotly_chart(figure, key=f"reliable-{key}", config=figures.CONFIG, alt="Share of ones by probability")
    right.caption("Test part, as many molecules a point, 95 % intervals: on the line a probability is what it says.")
    said = [
        f"{percent(one['share'])} ({percent(one['low'])} to {percent(one['high'])}) of the {one['n']:,} molecules "
        f"measured as {label} {what}"
        for label, what in ((1, "are found"), (0, "are taken for 1"))
        if (one := share(p[y == label] > 0.5))["n"]
    ]
    if said:
        st.markdown(f"With one half as the limit, {'; '.join(said)} (95 % intervals).")


def learning(fit: Fit, key: str) -> None:
    """The losses while it learned."""
    st.plotly_chart(
        figures.learning_curves({"": fit.curve}, {"": fit.record.get("best_epoch")}, loss_of(fit.record["kinds"])),
        key=f"curve-{key}",
        config=figures.CONFIG,
        alt="Training and validation loss by epoch; the best epoch is ringed",
    )
    said = "The weights of the ringed epoch, the best on validation, are kept."
    if spare := fit.enough_patience():
        patience, seconds = spare
        said += (
            f" With `patience` {patience} they would have been there after {duration(seconds)} in place of "
            f"{duration(fit.curve['seconds'].iloc[-1])}; with another seed it may be otherwise."
        )
    st.caption(said)


def members(record: dict, task: str, kind: str, unit: str) -> None:
    """What each member of an ensemble does by itself, the ensemble below them, and how far they are apart."""
    metrics = card_metrics(kind)[:2]
    cards = {f"seed {one['seed']}": one["metrics"] for one in record["members"]} | {"their mean": record["metrics"]}
    rows = {
        name: {
            f"{one.name}, {part}": one.format_value(card[part][task].get(one.key))
            for part in ("valid", "test")
            for one in metrics
        }
        for name, card in cards.items()
    }
    st.dataframe(pd.DataFrame.from_dict(rows, orient="index"), alt="Errors of the members and of their mean")
    told = record["apart"][task]
    said = f"On a test molecule the members are {number(told['spread'])} {plain(unit)} apart (standard deviation)."
    if told["spearman"] is not None:
        said += (
            f" Whether that tells where their mean errs: rank correlation of both {number(told['spearman'])} "
            "(1 always, 0 not at all)."
        )
    st.caption(said)


def numbers(fit: Fit, task: str, kind: str, unit: str) -> None:
    """The test part's metrics, the validation part's below each."""
    test, valid = fit.metrics["test"][task], fit.metrics["valid"][task]
    metrics = card_metrics(kind)
    with st.container(border=True):
        st.caption(f"{plain(task)}: test part, {test['n']:,} molecules, touched once to report")
        for column, one in zip(st.columns(len(metrics)), metrics, strict=True):
            span = fit.interval(task, one.key)
            explanation = f"{one.help} Undefined without {one.needs}."
            column.metric(one.title(plain(unit)), number(test.get(one.key), noise_of(span)), help=explanation)
            column.caption(
                f"{f'95 %: {bounds(span)}; ' if span else ''}validation {number(valid.get(one.key), noise_of(span))}"
            )
        if fit.record.get("intervals"):
            st.caption(
                "Intervals are of the test molecules alone, drawn anew a thousand times; training with another seed "
                "moves the numbers too."
            )


def costs(record: dict) -> None:
    """What moved, and what it took."""
    trained, total = record.get("trainable"), record.get("parameters")
    facts = {
        "Backbone": record.get("backbone"),
        "Method": str((record.get("method") or {}).get("kind", "")).replace("-", " "),
        "Learns from": record.get("features"),
        "Beside the embedding": record.get("beside"),
        "Trainable weights": f"{trained:,} of {total:,} ({trained / total:.1%})" if trained and total else None,
        "Of the backbone": of_the_backbone(record),
        "Molecules": ", ".join(f"{name} {count:,}" for name, count in record.get("rows", {}).items()),
        "Steps": record.get("steps"),
        "Learning rate, peak": record.get("learning_rate"),
        "Time": duration(record.get("seconds")),
        "To the best epoch": duration(record["seconds_to_best"]) if record.get("seconds_to_best") else None,
        "Peak memory": size(record["peak_memory"]) if record.get("peak_memory") else None,
        "Energy": f"{record['energy'] / 1000:.1f} kJ" if record.get("energy") else None,
        "Device": device_name(record.get("device")),
        "Arithmetic": record.get("precision"),
        "Seed": record.get("seed"),
        "Members": ", ".join(f"seed {one['seed']}" for one in record.get("members", [])),
    }
    known = {name: str(value) for name, value in facts.items() if value not in (None, "")}
    table = pd.DataFrame({"what": known.keys(), "value": known.values()})
    width = {"what": st.column_config.TextColumn(width=190)}
    st.dataframe(table, hide_index=True, height="content", column_config=width, alt="What it took")
    for sentence in (proven(record.get("proof")), tried(record.get("tuned"))):
        if sentence:
            st.caption(sentence)


def of_the_backbone(record: dict) -> str | None:
    """How many of the backbone's weights moved; of a trunk under a head just how many it has."""
    moved, whole = record.get("backbone_trainable"), record.get("backbone_parameters")
    if not whole:
        return None
    return f"{whole:,} weights" if moved is None else f"{moved:,} of {whole:,} ({moved / whole:.2%})"


def proven(proof: dict | None) -> str | None:
    """What was shown when the training began, and looked at again when it ended."""
    if not proof:
        return None
    return (
        "Shown of the method: as many weights of the backbone move as its formula says, each of "
        f"{proof['tensors_with_gradient']} tensors gets a gradient, no embedding changed before the first step, and "
        f"{proof['tensors_frozen']} frozen tensors are as they were."
    )


def tried(tuned: dict | None) -> str | None:
    """The learning rates that a tuning tried, with the validation loss that each reached, and its budget."""
    if not tuned:
        return None
    pairs = zip(tuned["learning_rates"], tuned["valid_losses"], strict=True)
    losses = ", ".join(f"{rate:g} ({number(loss)})" for rate, loss in pairs)
    budget = f"{tuned['steps']:,} steps each, seed {tuned['seed']}, {duration(tuned['seconds'])} in all"
    return f"Learning rates tried, with the best validation loss: {losses}; {budget}."


LEARNED = {  # by the objective of an adaptation: its loss, as the axis says it
    "masked tokens": "masked-token loss (nat)",
    "properties": "property loss (scaled units)",
    "both": "masked-token and property loss",
}
ADAPTED = {"perplexity": "Perplexity, held out", "property_error": "Property error, held out", "valid_loss": "Loss"}


def adapted_result(run: Run) -> None:
    """What a finished adaptation shows."""
    made = product(run.entry)
    record = made.record
    shown = {label: name for name, label in ADAPTED.items() if record.get(name) is not None}
    for column, (label, name) in zip(st.columns(max(1, len(shown))), shown.items(), strict=False):
        column.metric(label, number(record[name]))
        column.caption(f"before {number(record.get(f'{name}_before'))}")
    if record.get("property_error") is not None:
        st.caption(
            f"Property error: mean squared error of {record.get('properties')} RDKit properties in units of their "
            "spread; always saying the mean gives about 1."
        )
    notes(record.get("warnings", []))
    axis = LEARNED.get(record.get("objective"), LEARNED["masked tokens"])
    figure = figures.learning_curves({"": made.curve}, {"": record.get("best_epoch")}, axis)
    words = axis[0].upper() + axis[1:]
    st.plotly_chart(figure, key=f"curve-{run.key}", config=figures.CONFIG, alt=f"{words} by epoch")
    st.caption("This backbone can now be chosen as the start of a fine-tuning.")
    if (spec := readable(run)) is not None:
        command(spec)


LOSSES = {"token_loss": "Token loss (nat)", "property_error": "Property error", "label_loss": "Label loss"}


def pretrained_result(run: Run) -> None:
    """What a finished pre-training shows."""
    made = product(run.entry)
    record, corpus = made.record, made.record["corpus"]
    shown = {name: label for name, label in LOSSES.items() if name in record["held_out"]}
    for column, (name, label) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(f"{label}, held out", number(record["held_out"][name]))
        column.caption(f"before {number(record['held_out_before'].get(name))}")
    st.caption(
        f"{corpus['molecules']:,} molecules, of which {record['rows']['held_out']:,} were held out, each read "
        f"{number(record['epochs'])} times on average; {corpus['left_out']['molecules']:,} were left out beforehand. "
        f"Descriptors and labels are in units of their spread: always saying the mean gives about 1."
    )
    notes(record.get("warnings", []))
    best = made.curve.loc[made.curve["step"] == record["best_step"], "epoch"]
    figure = figures.learning_curves({"": made.curve}, {"": best.iloc[0] if len(best) else None}, "weighted loss")
    st.plotly_chart(figure, key=f"curve-{run.key}", config=figures.CONFIG, alt="Weighted loss by epoch")
    st.caption("This backbone can now be chosen as the start of a fine-tuning.")
    with st.expander("Its card"):
        st.json(record, expanded=1)
    if (spec := readable(run)) is not None:
        command(spec)
