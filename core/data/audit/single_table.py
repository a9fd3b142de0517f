"""What there is to know of one table before anything is learned from it."""

from collections import Counter

import numpy as np

from core.chem import molecules as chem
from core.data.audit.computed_labels import label_resolution
from core.data.audit.findings import Finding
from core.data.dataset import Dataset
from core.engine import parallel
from core.engine.report import SILENT_REPORT, Report

OUTLIER_SD = 6.0  # robust standard deviations from the middle beyond which a label stands out
CEILING_SHARE = 0.02  # share of the labels at their highest or lowest value that looks like the end of a scale
MAX_HEAVY_ATOMS = 100  # atoms beyond which a molecule is no small one
SAMPLE, AMONG = 2000, 10_000  # molecules whose neighbours are looked at, and among which these are
DECADES = (3.0, 6.0)  # log10 of milli to micro and of milli to nano: what a mistaken prefix moves a logarithm by


def audit_single_table(table: Dataset, report: Report = SILENT_REPORT) -> list[Finding]:
    """Findings of one table, its molecules first, then each target."""
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
                f"{len(unread):,} of {len(table) + len(unread):,} rows were not read; the first is row {first['row']}: "
                f"{first['reason']}",
                "They are in no part. Each is listed with its reason under “Left out or merged”.",
                numbers={"rows": len(unread)},
            )
        )
    for task, replicates in (table.provenance.get("replicates") or {}).items():
        findings.append(
            Finding(
                f"measured again: {task}",
                "note",
                f"{replicates['molecules']:,} molecules were given more than once; labels of {task} of one molecule are "
                f"{replicates['sd']:.3g} apart (pooled standard deviation), {replicates['widest']:.3g} at most (row "
                f"{replicates['widest_row']})",
                "That is the noise of measuring, or of joining sources: no honest error can be much below it.",
                numbers=replicates,
            )
        )
    return findings


def _molecules(table: Dataset, report: Report) -> list[Finding]:
    """Several components, no carbon, very large ones."""
    mixtures, carbon_free, large = [], [], []
    for row, smiles in enumerate(table.smiles):
        if row % 2000 == 0:
            report(row / len(table), f"looking at molecules, {row:,} of {len(table):,}")
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
            f"; {repeated:,} are another row’s molecule once the smaller components are gone" if repeated else ""
        )
        findings.append(
            Finding(
                "several components",
                "caution" if repeated else "note",
                f"{len(mixtures):,} of {len(table):,} molecules are salts or mixtures (first: "
                f"{table.smiles[mixtures[0]][:60]}){repeat_text}",
                "The label is of the whole; a model reads all of it. Counter-ions make one substance two molecules.",
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
                    "They are unlike what the backbone was trained on; their predictions say little.",
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
    """Molecules that are one graph but for their stereo marks."""
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(stereo_free_keys(table.smiles, report)):
        groups.setdefault(key, []).append(row)
    isomer_groups = [rows for rows in groups.values() if len(rows) > 1]
    if not isomer_groups:
        return []
    statement = (
        f"{sum(map(len, isomer_groups)):,} molecules are {len(isomer_groups):,} graphs but for their stereo marks"
    )
    label_groups = [values[rows] for values in table.targets.T for rows in isomer_groups]
    spreads = [float(np.nanmax(labels) - np.nanmin(labels)) for labels in label_groups if (~np.isnan(labels)).sum() > 1]
    if spreads:
        statement += f"; their labels are {np.mean(spreads):.3g} apart on average, {max(spreads):.3g} at most"
    return [
        Finding(
            "stereo twins",
            "note",
            statement,
            "A split by name would put one in the training, one in the test part; the splits here keep them together.",
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
    """How the labels of one target lie: missing, far out, piled up at an end, few classes."""
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
                "With so few of one class any error bar is wide." if rare < 20 else "Accuracy flatters; look at AUROC.",
                numbers={"measured": len(measured_rows), "positives": positives, "missing": missing},
            )
        ]
    if not len(labels):
        statement, numbers = f"{name}: none of {missing:,} molecules has a label", {"measured": 0, "missing": missing}
        return [Finding(f"labels: {name}", "caution", statement, "Nothing can be learned of it here.", numbers=numbers)]
    step = label_resolution(labels)
    middle, spread = np.median(labels), 1.4826 * np.median(np.abs(labels - np.median(labels)))
    findings.append(
        Finding(
            f"labels: {name}",
            "note",
            f"{name}: {len(measured_rows):,} measured, {missing:,} missing; {labels.mean():.3g} ± {labels.std():.3g}{unit}, "
            f"from {labels.min():.4g} to {labels.max():.4g}, in steps of {step:g}",
            f"Guessing the mean errs by {labels.std():.3g}: that is the error to beat.",
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
                    "That is where the assay ends, so the true values lie beyond; errors there are not errors of a "
                    "model alone.",
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
                f"{len(outliers):,} labels of {name} are more than {OUTLIER_SD:g} robust standard deviations from the middle, "
                f"{middle:.3g}{unit}; the farthest is {values[worst]:.4g} ({table.smiles[worst][:60]})",
                "A squared error listens to them most. Look at them before they teach.",
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
                f"labels of {name} are all above zero and reach over {np.log10(labels.max() / labels.min()):.1f} "
                "powers of ten",
                "The error is that of the largest alone; their logarithm is the better target.",
                numbers={"decades": float(np.log10(labels.max() / labels.min()))},
            )
        )
    return findings


def _mixed_units(table: Dataset, task: int, report: Report) -> list[Finding]:
    """Labels that are a thousandfold, or a millionfold, off what their neighbours say."""
    values = table.targets[:, task]
    measured_rows = np.flatnonzero(~np.isnan(values))
    if table.kinds[task] == "binary" or len(measured_rows) < 100:
        return []
    labels = values[measured_rows]
    logarithm = labels.min() > 0 and labels.max() / labels.min() > 1e4
    scale = np.log10(labels) if logarithm else labels
    sample = np.sort(np.random.default_rng(0).permutation(len(measured_rows))[:SAMPLE])
    report(0, f"comparing labels of {table.tasks[task]} with those of neighbours")
    smiles = list(table.smiles[measured_rows])
    reference_rows = np.union1d(np.random.default_rng(1).permutation(len(measured_rows))[:AMONG], sample)
    neighbours, _ = chem.nearest([smiles[row] for row in sample], [smiles[row] for row in reference_rows], 6)
    neighbours = np.array(
        [[one for one in rows if one != own][:5] for rows, own in zip(reference_rows[neighbours], sample, strict=True)]
    )
    gaps = scale[sample] - np.median(scale[neighbours], axis=1)
    findings = []
    for step in DECADES:
        off = np.abs(np.abs(gaps) - step) < 0.4
        between = (np.abs(gaps) > 0.55 * step) & (np.abs(gaps) < 0.8 * step)  # a valley, where two units are mixed
        if off.sum() >= max(5, 0.005 * len(sample)) and off.sum() / 0.8 > 3 * between.sum() / (0.25 * step):
            rows = measured_rows[sample[off]]
            findings.append(
                Finding(
                    f"mixed units: {table.tasks[task]}",
                    "fault",
                    f"{off.sum():,} of {len(sample):,} labels looked at are {10**step:,.0f} times off what their "
                    f"nearest molecules have, and few lie between (first: {table.smiles[rows[0]][:60]}, "
                    f"{values[rows[0]]:.4g})",
                    "Two units look mixed. A model learns the mistake; bring them to one.",
                    "drop",
                    rows,
                    numbers={"rows": int(off.sum()), "times": 10.0**step},
                )
            )
    return findings


def stereo_free_keys(smiles: np.ndarray, report: Report = SILENT_REPORT) -> list[str]:
    """`chem.flat_key` of canonical SMILES; one without stereo marks and isotopes is its own."""
    marked = [text for text in smiles if chem.MARKED.search(text)]
    keys = dict(
        zip(
            marked, parallel.map_texts(chem.stereo_free_smiles, marked, report, "looking for stereo twins"), strict=True
        )
    )
    return [keys.get(text, text) for text in smiles]
