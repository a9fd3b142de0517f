"""A small pre-training, shared by the tests of this folder."""

import pytest

from core.data.corpus import Corpus
from core.engine.make import make
from core.engine.report import Report
from core.engine.store import Store
from core.experiments import BuildCorpus, Load, Pretrain
from core.models.backbones.checkpoint import Checkpoint
from core.models.backbones.molformer.untrained import UntrainedMolformer

NANO = UntrainedMolformer("nano", width=32, depth=2, heads=2, inner=64, features=8)


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="package")
def corpus_spec() -> BuildCorpus:
    return BuildCorpus(
        labelled=(Load("bundled:solubility", limit=250),),
        leave_out=(Load("bundled:hydration", limit=200),),
        n_randomised_smiles=2,
        least=2,
    )


@pytest.fixture(scope="package")
def corpus(corpus_spec: BuildCorpus, store: Store) -> Corpus:
    return make(corpus_spec, store, Report())


@pytest.fixture(scope="package")
def spec(corpus_spec: BuildCorpus) -> Pretrain:
    return Pretrain(
        corpus_spec,
        NANO,
        described=1.0,
        measured=1.0,
        steps=40,
        batch_size=32,
        held_out=40,
        evaluations=4,
        learning_rate=1e-2,
    )


@pytest.fixture(scope="package")
def checkpoint(spec: Pretrain, corpus: Corpus, store: Store) -> Checkpoint:
    return make(spec, store, Report())
