"""What a choice from a pool looks like before training: on a map, and in numbers beside the training part."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.chem import descriptors
from core.chem import molecules as chem
from core.engine.spec import BadInput
from core.stats.metrics import spearman

ProjectionMethod = Literal["pca", "t-sne"]
MAX_ROWS = 4000  # molecules of either table on a map
COVERAGE_SIMILARITY = 0.5  # Tanimoto similarity from which a molecule is covered by another
HISTOGRAMS = ("HeavyAtomCount", "MolLogP", "TPSA")


def project(parts: dict[str, Sequence[str]], way: ProjectionMethod = "pca", seed: int = 0) -> pd.DataFrame:
    """A map of molecules by Morgan bits: part, row, smiles, x, y; at most 4,000 of each part, drawn by the seed.

    `pca`: the first two principal components of the bits, seconds for thousands, and says how little of the variance
    they hold in `attrs["explained"]`. `t-sne`: neighbours stay neighbours, far means nothing (van der Maaten & Hinton
    2008), from fifty components on; a minute for thousands. Raises `BadInput` with fewer than three molecules.
    """
    from sklearn.decomposition import PCA

    tables = []
    for part, smiles in parts.items():
        rows = np.sort(np.random.default_rng(seed).permutation(len(smiles))[:MAX_ROWS])
        tables.append(pd.DataFrame({"part": part, "row": rows, "smiles": np.asarray(smiles, object)[rows]}))
    found = pd.concat(tables, ignore_index=True)
    if len(found) < 3:
        raise BadInput(f"{len(found)} molecules make no map; give a larger pool")
    bits = chem.fingerprints(list(found["smiles"])).astype(np.float32)
    wanted = min(50 if way == "t-sne" else 2, len(found) - 1)
    components = PCA(wanted, random_state=seed, svd_solver="randomized")
    points = components.fit_transform(bits)
    found.attrs["explained"] = float(components.explained_variance_ratio_[:2].sum())
    if way == "t-sne":
        from sklearn.manifold import TSNE

        near = float(min(30, max(2, (len(found) - 1) // 3)))
        points = TSNE(2, perplexity=near, init="pca", random_state=seed).fit_transform(points)
    found["x"], found["y"] = points[:, 0], points[:, 1] if points.shape[1] > 1 else 0.0
    return found


def summarize_selection(smiles: Sequence[str], rows: np.ndarray, train: Sequence[str]) -> dict[str, Any]:
    """Numbers of a choice: what of the pool it covers, what it adds to the training part, how alike it is within.

    `covered`: share of the molecules not kept that have a kept or training molecule of Tanimoto similarity 0.5 or more;
    `covered_before`: by training molecules alone. `novel`: share of the kept without such a training molecule.
    `likeness`: mean similarity of a kept one to its nearest kept. `new_scaffolds`: those of the kept that the training
    part lacks.
    """
    chosen = [smiles[row] for row in rows]
    rest = [one for row, one in enumerate(smiles) if row not in set(np.asarray(rows).tolist())]
    mine, known = {chem.scaffold(one) for one in chosen} - {""}, {chem.scaffold(one) for one in train}

    def nearest(some: Sequence[str], others: Sequence[str]) -> np.ndarray:
        return chem.nearest(some, others)[1][:, 0] if len(some) and len(others) else np.zeros(len(some))

    before, after = nearest(rest, train), nearest(rest, chosen)
    twins = chem.nearest(chosen, chosen, 2)[1][:, 1] if len(chosen) > 1 else np.zeros(0)
    return {
        "kept": len(chosen),
        "of": len(smiles),
        "covered": float((np.maximum(before, after) >= COVERAGE_SIMILARITY).mean()) if rest else None,
        "covered_before": float((before >= COVERAGE_SIMILARITY).mean()) if rest else None,
        "novel": float((nearest(chosen, train) < COVERAGE_SIMILARITY).mean()) if len(train) else None,
        "likeness": float(twins.mean()) if len(twins) else None,
        "scaffolds": len(mine),
        "new_scaffolds": len(mine - known),
    }


def compare_selections(one: np.ndarray, other: np.ndarray) -> dict[str, float | int | None]:
    """Of two choices from one pool, in the order taken: how many both have, Jaccard's index, and rank correlation."""
    both = sorted(set(one.tolist()) & set(other.tolist()))
    places = [[choice.tolist().index(row) for row in both] for choice in (one, other)]
    order = spearman(np.array(places[0], float), np.array(places[1], float)) if len(both) > 2 else None
    union = len(set(one.tolist()) | set(other.tolist()))
    return {"both": len(both), "jaccard": len(both) / union if union else 1.0, "spearman": order}


def descriptor_distributions(parts: dict[str, Sequence[str]], most: int = 1000) -> dict[str, dict[str, np.ndarray]]:
    """Descriptors for histograms, by name and part: size, Crippen's logP, polar surface; a sample of large parts."""
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in HISTOGRAMS}
    for part, smiles in parts.items():
        rows = np.random.default_rng(0).permutation(len(smiles))[:most]
        values = descriptors.compute_named_descriptors([smiles[row] for row in rows], HISTOGRAMS)
        for column, name in enumerate(HISTOGRAMS):
            found[name][part] = values[:, column]
    return found
