"""Dropout: probability, mean, and setting it for a whole model."""

import torch

from core.models.backbones import Untrained
from core.models.backbones.molformer.model import Dropout


def test_dropout_has_the_given_probability_and_keeps_the_mean() -> None:
    drop, ones = Dropout(0.2).train(), torch.ones(999, 1001)
    torch.manual_seed(0)
    dropped = drop(ones)
    assert ((dropped == 0).double().mean() - 0.2).abs() < 0.002 and dropped.max() == 1 / 0.8
    columns, rows = (dropped == 0).double().mean(0), (dropped == 0).double().mean(1)
    assert 0.9 < columns.var() / (0.16 / 999) < 1.1 and 0.9 < rows.var() / (0.16 / 1001) < 1.15, "draws are independent"
    torch.manual_seed(0)
    assert torch.equal(dropped, drop(ones)) and not torch.equal(dropped, drop(ones))
    assert drop.eval()(ones) is ones


def test_set_dropout_keeps_the_configuration() -> None:
    body = Untrained("molsway-tiny")()
    batch = body.batch(["CCO", "c1ccccc1"])
    usual = body.model.config.hidden_dropout_prob
    body.train().set_dropout(0.0)
    assert torch.equal(body(batch), body(batch))
    body.set_dropout(0.3)
    assert not torch.equal(body(batch), body(batch)) and body.model.config.hidden_dropout_prob == usual > 0
