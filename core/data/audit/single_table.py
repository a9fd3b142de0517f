"""Audit of a single table: removed rows, unusual molecules, stereoisomers, labels and their units."""

from collections import Counter

import numpy as np

from core.chem import molecules as chem
from core.data.audit.computed_labels import label_resolution
from core.data.audit.findings import Finding
from core.data.dataset import Dataset
from core.engine import parallel
from core.engine.report import SILENT_REPORT, Report

OUTLIER_SD = 6.0  # robust standard deviations from the median beyond which a label is an outlier
CEILING_SHARE = 0.02  # share of labels at the highest or lowest value that suggests an assay limit
MAX_HEAVY_ATOMS = 100  # heavy atoms above which a molecule is very large
MAX_QUERIES, MAX_REFERENCES = 2000, 10_000  # molecules whose neighbours are searched, and among which
DECADES = (3.0, 6.0)  # log10 of milli/micro and of milli/nano: how far a wrong prefix shifts a logarithm


def audit_single_table(table: Dataset, report: Report = SILENT_REPORT) -> list[Finding]:
    """Findings on one table: molecules first, then each target."""
    findings = [
        *_left_out(table),
        *_molecules(table, report.part(0, 0.5)),
        *_stereoisomers(table, report.part(0.5, 0.7)),
    ]
    for task in range(len(table.tasks)):
        findings += _labels(table, task)
        findings += _mixed_units(table, task, report.part(0.7, 1))
    return findings


def _left_out(table: Dataset) -> list[Finding]:
    findings, unread = [], table.dropped[table.dropped["what"] == "molecule"]
    if len(unread):
        first = unread.iloc[0]
        findings.append(
            Finding(
                "left out",
                "caution" if len(unread) > 0.05 * (len(table) + len(unread)) else "note",
                f"{len(unread):,} of {len(table) + len(unread):,} rows were removed; the first is row {first['row']}: "
                f"{first['reason']}",
                "They are in no split. Each is listed with its reason under “Left out or merged”.",
                numbers={"rows": len(unread)},
            )
        )
    for task, replicates in (table.provenance.get("replicates") or {}).items():
        findings.append(
            Finding(
                f"measured again: {task}",
                "note",
                f"{replicates['molecules']:,} molecules were measured more than once; labels of {task} of one "
                f"molecule are {replicates['sd']:.3g} apart (pooled standard deviation), {replicates['widest']:.3g} at "
                f"most (row {replicates['widest_row']})",
                "This is the noise of the measurements, or between sources. A model error cannot be much lower.",
                numbers=replicates,
            )
        )
    return findings


def _molecules(table: Dataset, report: Report) -> list[Finding]:
    """Molecules with several components, without carbon, or very large."""
    mixtures, carbon_free, large = [], [], []
    for row, smiles in enumerate(table.smiles):
        if row % 2000 == 0:
            report(row / len(table), f"checked {row:,} of {len(table):,} molecules")
        if "." in smiles:
            mixtures.append(row)
        if not any(pattern in smiles for pattern in ("CC", "c1", "C(", "C1")) and lacks_carbon(smiles):
            carbon_free.append(row)
        if len(smiles) > MAX_HEAVY_ATOMS and chem.parse(smiles).GetNumHeavyAtoms() > MAX_HEAVY_ATOMS:
            large.append(row)
    findings = []
    if mixtures:
        parents = [max(table.smiles[row].split("."), key=len) for row in mixtures]
        counts = Counter(
            [*(smiles for smiles in table.smiles if "." not in smiles), *map(chem.canonical_smiles, parents)]
        )
        repeated = sum(counts[chem.canonical_smiles(parent)] > 1 for parent in parents)
        repeat_text = (
            f"; {repeated:,} equal the molecule of another row when the smaller components are removed"
            if repeated
            else ""
        )
        findings.append(
            Finding(
                "several components",
                "caution" if repeated else "note",
                f"{len(mixtures):,} of {len(table):,} molecules are salts or mixtures (first: "
                f"{table.smiles[mixtures[0]][:60]}){repeat_text}",
                "Label and model refer to the full mixture. A compound with a counter-ion counts as another molecule.",
                "drop",
                np.array(mixtures),
                numbers={"rows": len(mixtures), "twice": repeated},
            )
        )
    for kind, rows, description in (
        ("no carbon", carbon_free, "have no carbon"),
        ("very large", large, f"have more than {MAX_HEAVY_ATOMS} heavy atoms"),
    ):
        if rows:
            findings.append(
                Finding(
                    kind,
                    "caution",
                    f"{len(rows):,} molecules {description} (first: {table.smiles[rows[0]][:60]})",
                    "The backbone was trained on other molecules; predictions for these are unreliable.",
                    "drop",
                    np.array(rows),
                    numbers={"rows": len(rows)},
                )
            )
    return findings


def lacks_carbon(smiles: str) -> bool:
    """Whether a molecule has no carbon atom."""
    return all(atom.GetAtomicNum() != 6 for atom in chem.parse(smiles).GetAtoms())


def _stereoisomers(table: Dataset, report: Report) -> list[Finding]:
    """Stereoisomers: molecules with the same graph and different stereo marks."""
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(stereo_free_keys(table.smiles, report)):
        groups.setdefault(key, []).append(row)
    isomer_groups = [rows for rows in groups.values() if len(rows) > 1]
    if not isomer_groups:
        return []
    statement = f"{sum(map(len, isomer_groups)):,} molecules are stereoisomers of {len(isomer_groups):,} graphs"
    label_groups = [values[rows] for values in table.targets.T for rows in isomer_groups]
    spreads = [float(np.nanmax(labels) - np.nanmin(labels)) for labels in label_groups if (~np.isnan(labels)).sum() > 1]
    if spreads:
        statement += f"; their labels are {np.mean(spreads):.3g} apart on average, {max(spreads):.3g} at most"
    return [
        Finding(
            "stereo twins",
            "note",
            statement,
            "A split by SMILES could separate them into training and test set; the splits here keep them together.",
            "merge",
            np.concatenate([np.array(rows) for rows in isomer_groups]),
            groups=np.repeat(np.arange(len(isomer_groups)), [len(rows) for rows in isomer_groups]),
            numbers={
                "graphs": len(isomer_groups),
                "rows": sum(map(len, isomer_groups)),
                "widest": max(spreads, default=None),
            },
        )
    ]


def _labels(table: Dataset, task: int) -> list[Finding]:
    """Labels of one target: missing values, outliers, assay limits, rare classes."""
    name, unit, values = table.tasks[task], table.unit[task] and f" {table.unit[task]}", table.targets[:, task]
    measured_rows = np.flatnonzero(~np.isnan(values))
    labels, findings = values[measured_rows], []
    missing = len(values) - len(measured_rows)
    if table.kinds[task] == "binary":
        positives = int(labels.sum())
        rare = min(positives, len(labels) - positives)
        return [
            Finding(
                f"labels: {name}",
                "caution" if rare < 20 else "note",
                f"{name}: {len(measured_rows):,} measured, {positives:,} of them 1 ({positives / len(labels):.1%}); "
                f"{missing:,} missing",
                "With so few of one class every interval is wide."
                if rare < 20
                else "Accuracy is optimistic for unequal classes; use AUROC.",
                numbers={"measured": len(measured_rows), "positives": positives, "missing": missing},
            )
        ]
    if not len(labels):
        statement, numbers = f"{name}: none of {missing:,} molecules has a label", {"measured": 0, "missing": missing}
        return [Finding(f"labels: {name}", "caution", statement, "No model can be trained on it.", numbers=numbers)]
    step = label_resolution(labels)
    middle, spread = np.median(labels), 1.4826 * np.median(np.abs(labels - np.median(labels)))
    findings.append(
        Finding(
            f"labels: {name}",
            "note",
            f"{name}: {len(measured_rows):,} measured, {missing:,} missing; {labels.mean():.3g} ± "
            f"{labels.std():.3g}{unit}, from {labels.min():.4g} to {labels.max():.4g}, in steps of {step:g}",
            f"Predicting the mean gives an RMSE of {labels.std():.3g}; a model must do better.",
            numbers={
                "measured": len(measured_rows),
                "missing": missing,
                "mean": float(labels.mean()),
                "sd": float(labels.std()),
            },
        )
    )
    for end, value in (("lowest", labels.min()), ("highest", labels.max())):
        limit_rows = measured_rows[labels == value]
        share = len(limit_rows) / len(labels)
        if len(limit_rows) >= 10 and share > CEILING_SHARE and len(np.unique(labels)) > 20:
            findings.append(
                Finding(
                    f"end of the scale: {name}, {end}",
                    "caution",
                    f"{len(limit_rows):,} labels ({share:.1%}) are the {end} value, {value:g}{unit}",
                    "This looks like an assay limit. The true values may lie beyond it, so errors there are not only "
                    "the model’s.",
                    "drop",
                    limit_rows,
                    numbers={"rows": len(limit_rows), "value": float(value)},
                )
            )
    outliers = (
        measured_rows[np.abs(labels - middle) > OUTLIER_SD * spread]
        if spread > 0 and len(labels) >= 20
        else measured_rows[:0]
    )
    if len(outliers):
        worst = outliers[np.argmax(np.abs(values[outliers] - middle))]
        findings.append(
            Finding(
                f"far out: {name}",
                "caution",
                f"{len(outliers):,} labels of {name} are more than {OUTLIER_SD:g} robust standard deviations from the "
                f"median, {middle:.3g}{unit}; the farthest is {values[worst]:.4g} ({table.smiles[worst][:60]})",
                "Outliers dominate a squared error. Check them before training.",
                "drop",
                outliers,
                numbers={"rows": len(outliers), "farthest": float(values[worst])},
            )
        )
    if len(labels) > 20 and labels.min() > 0 and labels.max() / labels.min() > 1e4:
        findings.append(
            Finding(
                f"wide range: {name}",
                "caution",
                f"labels of {name} are all positive and span {np.log10(labels.max() / labels.min()):.1f} powers of ten",
                "The largest labels dominate the error; their logarithm is the better target.",
                numbers={"decades": float(np.log10(labels.max() / labels.min()))},
            )
        )
    return findings


def _mixed_units(table: Dataset, task: int, report: Report) -> list[Finding]:
    """Labels that differ from those of their neighbours by a factor of a thousand or a million."""
    values = table.targets[:, task]
    measured_rows = np.flatnonzero(~np.isnan(values))
    if table.kinds[task] == "binary" or len(measured_rows) < 100:
        return []
    labels = values[measured_rows]
    logarithm = labels.min() > 0 and labels.max() / labels.min() > 1e4
    scale = np.log10(labels) if logarithm else labels
    sample = np.sort(np.random.default_rng(0).permutation(len(measured_rows))[:MAX_QUERIES])
    report(0, f"comparing labels of {table.tasks[task]} with those of neighbours")
    smiles = list(table.smiles[measured_rows])
    reference_rows = np.union1d(np.random.default_rng(1).permutation(len(measured_rows))[:MAX_REFERENCES], sample)
    neighbours, _ = chem.nearest([smiles[row] for row in sample], [smiles[row] for row in reference_rows], 6)
    neighbours = np.array(
        [[one for one in rows if one != own][:5] for rows, own in zip(reference_rows[neighbours], sample, strict=True)]
    )
    gaps = scale[sample] - np.median(scale[neighbours], axis=1)
    findings = []
    for step in DECADES:
        off = np.abs(np.abs(gaps) - step) < 0.4
        between = (np.abs(gaps) > 0.55 * step) & (np.abs(gaps) < 0.8 * step)  # few of them if two units are mixed
        if off.sum() >= max(5, 0.005 * len(sample)) and off.sum() / 0.8 > 3 * between.sum() / (0.25 * step):
            rows = measured_rows[sample[off]]
            findings.append(
                Finding(
                    f"mixed units: {table.tasks[task]}",
                    "fault",
                    f"{off.sum():,} of {len(sample):,} checked labels are {10**step:,.0f} times off those of their "
                    f"nearest molecules, and few lie between (first: {table.smiles[rows[0]][:60]}, "
                    f"{values[rows[0]]:.4g})",
                    "Two units seem to be mixed. Convert all labels to one unit before training.",
                    "drop",
                    rows,
                    numbers={"rows": int(off.sum()), "times": 10.0**step},
                )
            )
    return findings


def stereo_free_keys(smiles: np.ndarray, report: Report = SILENT_REPORT) -> list[str]:
    """Stereo-free SMILES of canonical SMILES (n,); one without stereo marks and isotopes is unchanged."""
    marked = [text for text in smiles if chem.MARKED.search(text)]
    keys = dict(
        zip(
            marked,
            parallel.map_texts(chem.stereo_free_smiles, marked, report, "searching for stereoisomers"),
            strict=True,
        )
    )
    return [keys.get(text, text) for text in smiles]
