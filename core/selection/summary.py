"""A selection before training: map, coverage, novelty, overlap of two selections, descriptor histograms."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.chem import descriptors
from core.chem import molecules as chem
from core.engine.spec import BadInput
from core.stats.metrics import spearman

ProjectionMethod = Literal["pca", "t-sne"]
MAX_ROWS = 4000  # molecules of each table on a map
COVERAGE_SIMILARITY = 0.5  # Tanimoto similarity at or above which a molecule is covered by another
HISTOGRAMS = ("HeavyAtomCount", "MolLogP", "TPSA")


def project(parts: dict[str, Sequence[str]], method: ProjectionMethod = "pca", seed: int = 0) -> pd.DataFrame:
    """Project molecules to two dimensions by Morgan bits: part, row, smiles, x, y; at most 4,000 a part, by the seed.

    `pca`: the first two principal components, seconds for thousands of molecules. `t-sne`: preserves neighbours but not
    large distances (van der Maaten & Hinton 2008), on fifty components; a minute for thousands. The variance explained
    by the first two components is in `attrs["explained"]`. Raises `BadInput` with fewer than three molecules.
    """
    from sklearn.decomposition import PCA

    tables = []
    for part, smiles in parts.items():
        rows = np.sort(np.random.default_rng(seed).permutation(len(smiles))[:MAX_ROWS])
        tables.append(pd.DataFrame({"part": part, "row": rows, "smiles": np.asarray(smiles, object)[rows]}))
    table = pd.concat(tables, ignore_index=True)
    if len(table) < 3:
        raise BadInput(f"{len(table)} molecules are too few for a map; give a larger pool")
    bits = chem.fingerprints(list(table["smiles"])).astype(np.float32)
    n_components = min(50 if method == "t-sne" else 2, len(table) - 1)
    components = PCA(n_components, random_state=seed, svd_solver="randomized")
    points = components.fit_transform(bits)
    table.attrs["explained"] = float(components.explained_variance_ratio_[:2].sum())
    if method == "t-sne":
        from sklearn.manifold import TSNE

        perplexity = float(min(30, max(2, (len(table) - 1) // 3)))
        points = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    table["x"], table["y"] = points[:, 0], points[:, 1] if points.shape[1] > 1 else 0.0
    return table


def summarize_selection(smiles: Sequence[str], rows: np.ndarray, train: Sequence[str]) -> dict[str, Any]:
    """Summarise a selection (`rows` of the pool `smiles`): coverage, novelty, similarity within it, scaffolds.

    `kept`: number selected, of `of`. `covered`: share of the other pool molecules with a Tanimoto similarity of 0.5 or
    more to a selected or training molecule; `covered_before`: to a training molecule. `novel`: share of the selected
    without such a training molecule. `likeness`: mean similarity of a selected molecule to the nearest other one.
    `new_scaffolds`: scaffolds of the selection that the training part lacks. None where a share is undefined.
    """
    selected = [smiles[row] for row in rows]
    rest = [molecule for row, molecule in enumerate(smiles) if row not in set(np.asarray(rows).tolist())]
    scaffolds, train_scaffolds = (
        {chem.scaffold(molecule) for molecule in selected} - {""},
        {chem.scaffold(molecule) for molecule in train},
    )

    def nearest(queries: Sequence[str], references: Sequence[str]) -> np.ndarray:
        return (
            chem.nearest(queries, references)[1][:, 0] if len(queries) and len(references) else np.zeros(len(queries))
        )

    before, after = nearest(rest, train), nearest(rest, selected)
    neighbours = chem.nearest(selected, selected, 2)[1][:, 1] if len(selected) > 1 else np.zeros(0)
    return {
        "kept": len(selected),
        "of": len(smiles),
        "covered": float((np.maximum(before, after) >= COVERAGE_SIMILARITY).mean()) if rest else None,
        "covered_before": float((before >= COVERAGE_SIMILARITY).mean()) if rest else None,
        "novel": float((nearest(selected, train) < COVERAGE_SIMILARITY).mean()) if len(train) else None,
        "likeness": float(neighbours.mean()) if len(neighbours) else None,
        "scaffolds": len(scaffolds),
        "new_scaffolds": len(scaffolds - train_scaffolds),
    }


def compare_selections(first: np.ndarray, second: np.ndarray) -> dict[str, float | int | None]:
    """Compare two selections, rows in order: number in both, Jaccard index, and rank correlation of the shared rows."""
    shared = sorted(set(first.tolist()) & set(second.tolist()))
    ranks = [[choice.tolist().index(row) for row in shared] for choice in (first, second)]
    correlation = spearman(np.array(ranks[0], float), np.array(ranks[1], float)) if len(shared) > 2 else None
    union = len(set(first.tolist()) | set(second.tolist()))
    return {"both": len(shared), "jaccard": len(shared) / union if union else 1.0, "spearman": correlation}


def descriptor_distributions(
    parts: dict[str, Sequence[str]], max_molecules: int = 1000
) -> dict[str, dict[str, np.ndarray]]:
    """Values for histograms, by descriptor and part: heavy atoms, Crippen logP, TPSA; large parts are sampled."""
    distributions: dict[str, dict[str, np.ndarray]] = {name: {} for name in HISTOGRAMS}
    for part, smiles in parts.items():
        rows = np.random.default_rng(0).permutation(len(smiles))[:max_molecules]
        values = descriptors.compute_named_descriptors([smiles[row] for row in rows], HISTOGRAMS)
        for column, name in enumerate(HISTOGRAMS):
            distributions[name][part] = values[:, column]
    return distributions
