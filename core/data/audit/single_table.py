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
    found = [*_left_out(table), *_molecules(table, report.part(0, 0.5)), *_stereoisomers(table, report.part(0.5, 0.7))]
    for task in range(len(table.tasks)):
        found += _labels(table, task)
        found += _mixed_units(table, task, report.part(0.7, 1))
    return found


def _left_out(table: Dataset) -> list[Finding]:
    found, lost = [], table.dropped[table.dropped["what"] == "molecule"]
    if len(lost):
        first = lost.iloc[0]
        found.append(
            Finding(
                "left out",
                "caution" if len(lost) > 0.05 * (len(table) + len(lost)) else "note",
                f"{len(lost):,} of {len(table) + len(lost):,} rows were not read; the first is row {first['row']}: "
                f"{first['reason']}",
                "They are in no part. Each is listed with its reason under “Left out or merged”.",
                numbers={"rows": len(lost)},
            )
        )
    for task, told in (table.provenance.get("replicates") or {}).items():
        found.append(
            Finding(
                f"measured again: {task}",
                "note",
                f"{told['molecules']:,} molecules were given more than once; labels of {task} of one molecule are "
                f"{told['sd']:.3g} apart (pooled standard deviation), {told['widest']:.3g} at most (row "
                f"{told['widest_row']})",
                "That is the noise of measuring, or of joining sources: no honest error can be much below it.",
                numbers=told,
            )
        )
    return found


def _molecules(table: Dataset, report: Report) -> list[Finding]:
    """Several components, no carbon, very large ones."""
    several, bare, heavy = [], [], []
    for row, smiles in enumerate(table.smiles):
        if row % 2000 == 0:
            report(row / len(table), f"looking at molecules, {row:,} of {len(table):,}")
        if "." in smiles:
            several.append(row)
        if not any(plainly in smiles for plainly in ("CC", "c1", "C(", "C1")) and lacks_carbon(smiles):
            bare.append(row)
        if len(smiles) > MAX_HEAVY_ATOMS and chem.parse(smiles).GetNumHeavyAtoms() > MAX_HEAVY_ATOMS:
            heavy.append(row)
    found = []
    if several:
        parents = [max(table.smiles[row].split("."), key=len) for row in several]
        known = Counter(
            [*(smiles for smiles in table.smiles if "." not in smiles), *map(chem.canonical_smiles, parents)]
        )
        twice = sum(known[chem.canonical_smiles(parent)] > 1 for parent in parents)
        again = f"; {twice:,} are another row’s molecule once the smaller components are gone" if twice else ""
        found.append(
            Finding(
                "several components",
                "caution" if twice else "note",
                f"{len(several):,} of {len(table):,} molecules are salts or mixtures (first: "
                f"{table.smiles[several[0]][:60]}){again}",
                "The label is of the whole; a model reads all of it. Counter-ions make one substance two molecules.",
                "drop",
                np.array(several),
                numbers={"rows": len(several), "twice": twice},
            )
        )
    for kind, rows, words in (
        ("no carbon", bare, "have no carbon"),
        ("very large", heavy, f"have more than {MAX_HEAVY_ATOMS} heavy atoms"),
    ):
        if rows:
            found.append(
                Finding(
                    kind,
                    "caution",
                    f"{len(rows):,} molecules {words} (first: {table.smiles[rows[0]][:60]})",
                    "They are unlike what the backbone was trained on; their predictions say little.",
                    "drop",
                    np.array(rows),
                    numbers={"rows": len(rows)},
                )
            )
    return found


def lacks_carbon(smiles: str) -> bool:
    """Whether a molecule has no carbon atom."""
    return all(atom.GetAtomicNum() != 6 for atom in chem.parse(smiles).GetAtoms())


def _stereoisomers(table: Dataset, report: Report) -> list[Finding]:
    """Molecules that are one graph but for their stereo marks."""
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(stereo_free_keys(table.smiles, report)):
        groups.setdefault(key, []).append(row)
    twins = [rows for rows in groups.values() if len(rows) > 1]
    if not twins:
        return []
    said = f"{sum(map(len, twins)):,} molecules are {len(twins):,} graphs but for their stereo marks"
    each = [values[rows] for values in table.targets.T for rows in twins]
    spreads = [float(np.nanmax(labels) - np.nanmin(labels)) for labels in each if (~np.isnan(labels)).sum() > 1]
    if spreads:
        said += f"; their labels are {np.mean(spreads):.3g} apart on average, {max(spreads):.3g} at most"
    return [
        Finding(
            "stereo twins",
            "note",
            said,
            "A split by name would put one in the training, one in the test part; the splits here keep them together.",
            "merge",
            np.concatenate([np.array(rows) for rows in twins]),
            groups=np.repeat(np.arange(len(twins)), [len(rows) for rows in twins]),
            numbers={"graphs": len(twins), "rows": sum(map(len, twins)), "widest": max(spreads, default=None)},
        )
    ]


def _labels(table: Dataset, task: int) -> list[Finding]:
    """How the labels of one target lie: missing, far out, piled up at an end, few classes."""
    name, unit, values = table.tasks[task], table.unit[task] and f" {table.unit[task]}", table.targets[:, task]
    known = np.flatnonzero(~np.isnan(values))
    labels, found = values[known], []
    missing = len(values) - len(known)
    if table.kinds[task] == "binary":
        positives = int(labels.sum())
        rare = min(positives, len(labels) - positives)
        return [
            Finding(
                f"labels: {name}",
                "caution" if rare < 20 else "note",
                f"{name}: {len(known):,} measured, {positives:,} of them 1 ({positives / len(labels):.1%}); "
                f"{missing:,} missing",
                "With so few of one class any error bar is wide." if rare < 20 else "Accuracy flatters; look at AUROC.",
                numbers={"measured": len(known), "positives": positives, "missing": missing},
            )
        ]
    if not len(labels):
        said, numbers = f"{name}: none of {missing:,} molecules has a label", {"measured": 0, "missing": missing}
        return [Finding(f"labels: {name}", "caution", said, "Nothing can be learned of it here.", numbers=numbers)]
    step = label_resolution(labels)
    middle, spread = np.median(labels), 1.4826 * np.median(np.abs(labels - np.median(labels)))
    found.append(
        Finding(
            f"labels: {name}",
            "note",
            f"{name}: {len(known):,} measured, {missing:,} missing; {labels.mean():.3g} ± {labels.std():.3g}{unit}, "
            f"from {labels.min():.4g} to {labels.max():.4g}, in steps of {step:g}",
            f"Guessing the mean errs by {labels.std():.3g}: that is the error to beat.",
            numbers={
                "measured": len(known),
                "missing": missing,
                "mean": float(labels.mean()),
                "sd": float(labels.std()),
            },
        )
    )
    for end, value in (("lowest", labels.min()), ("highest", labels.max())):
        piled = known[labels == value]
        share = len(piled) / len(labels)
        if len(piled) >= 10 and share > CEILING_SHARE and len(np.unique(labels)) > 20:
            found.append(
                Finding(
                    f"end of the scale: {name}, {end}",
                    "caution",
                    f"{len(piled):,} labels ({share:.1%}) are the {end} value, {value:g}{unit}",
                    "That is where the assay ends, so the true values lie beyond; errors there are not errors of a "
                    "model alone.",
                    "drop",
                    piled,
                    numbers={"rows": len(piled), "value": float(value)},
                )
            )
    far = known[np.abs(labels - middle) > OUTLIER_SD * spread] if spread > 0 and len(labels) >= 20 else known[:0]
    if len(far):
        worst = far[np.argmax(np.abs(values[far] - middle))]
        found.append(
            Finding(
                f"far out: {name}",
                "caution",
                f"{len(far):,} labels of {name} are more than {OUTLIER_SD:g} robust standard deviations from the middle, "
                f"{middle:.3g}{unit}; the farthest is {values[worst]:.4g} ({table.smiles[worst][:60]})",
                "A squared error listens to them most. Look at them before they teach.",
                "drop",
                far,
                numbers={"rows": len(far), "farthest": float(values[worst])},
            )
        )
    if len(labels) > 20 and labels.min() > 0 and labels.max() / labels.min() > 1e4:
        found.append(
            Finding(
                f"wide range: {name}",
                "caution",
                f"labels of {name} are all above zero and reach over {np.log10(labels.max() / labels.min()):.1f} "
                "powers of ten",
                "The error is that of the largest alone; their logarithm is the better target.",
                numbers={"decades": float(np.log10(labels.max() / labels.min()))},
            )
        )
    return found


def _mixed_units(table: Dataset, task: int, report: Report) -> list[Finding]:
    """Labels that are a thousandfold, or a millionfold, off what their neighbours say."""
    values = table.targets[:, task]
    known = np.flatnonzero(~np.isnan(values))
    if table.kinds[task] == "binary" or len(known) < 100:
        return []
    labels = values[known]
    logarithm = labels.min() > 0 and labels.max() / labels.min() > 1e4
    scale = np.log10(labels) if logarithm else labels
    sample = np.sort(np.random.default_rng(0).permutation(len(known))[:SAMPLE])
    report(0, f"comparing labels of {table.tasks[task]} with those of neighbours")
    smiles = list(table.smiles[known])
    among = np.union1d(np.random.default_rng(1).permutation(len(known))[:AMONG], sample)
    near, _ = chem.nearest([smiles[row] for row in sample], [smiles[row] for row in among], 6)
    near = np.array([[one for one in rows if one != own][:5] for rows, own in zip(among[near], sample, strict=True)])
    gaps = scale[sample] - np.median(scale[near], axis=1)
    found = []
    for step in DECADES:
        off = np.abs(np.abs(gaps) - step) < 0.4
        between = (np.abs(gaps) > 0.55 * step) & (np.abs(gaps) < 0.8 * step)  # a valley, where two units are mixed
        if off.sum() >= max(5, 0.005 * len(sample)) and off.sum() / 0.8 > 3 * between.sum() / (0.25 * step):
            rows = known[sample[off]]
            found.append(
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
    return found


def stereo_free_keys(smiles: np.ndarray, report: Report = SILENT_REPORT) -> list[str]:
    """`chem.flat_key` of canonical SMILES; one without stereo marks and isotopes is its own."""
    marked = [text for text in smiles if chem.MARKED.search(text)]
    flat = dict(
        zip(
            marked, parallel.map_texts(chem.stereo_free_smiles, marked, report, "looking for stereo twins"), strict=True
        )
    )
    return [flat.get(text, text) for text in smiles]
