"""Numbers, times, units and names on pages."""

import pytest

from core.stats.formatting import format_number
from pages.base import text


@pytest.mark.parametrize(
    ("value", "noise", "expected"),
    [
        (0.82345, None, "0.823"),
        (0.82345, 0.031, "0.823"),
        (0.82345, 0.31, "0.82"),
        (-1234.5, None, "−1,234"),
        (0.0, None, "0.0"),
        (None, None, "–"),
        (float("nan"), 0.1, "–"),
        (3e-7, None, "3.00e−07"),
        (5.0, 0.0, "5.00"),
    ],
)
def test_numbers_have_as_many_digits_as_their_noise_allows(value, noise, expected):
    assert format_number(value, noise) == expected


def test_durations_sizes_and_times():
    assert [text.format_duration(s) for s in (None, 0, 3.2, 59, 125, 4800)] == [
        "–",
        "0 s",
        "3.2 s",
        "59 s",
        "2 min 05 s",
        "1 h 20 min",
    ]
    assert [text.format_bytes(b) for b in (12, 15_900, 812_000_000)] == ["12 B", "15.9 kB", "812.0 MB"]
    assert [text.format_age(0, now) for now in (3, 61, 7300, 86400 * 3)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
    ]


def test_markdown_shows_smiles_as_they_are():
    assert text.escape_markdown("C[C@@H](N)C*") == r"C\[C@@H\]\(N\)C\*"
    assert text.escape_markdown("a\n# b") == r"a \# b"


def test_the_name_of_a_loss_follows_its_tasks():
    assert text.loss_name(["binary", "binary"]) == "cross-entropy (nats)"
    assert text.loss_name(["regression"]) == "squared error (scaled labels)"
    assert text.loss_name(["binary", "regression"]) == "loss"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("(-0.041, 95 % interval -0.069 to -0.012)", "(−0.041, 95 % interval −0.069 to −0.012)"),
        ("molformer-10pct, seeds 3-5, 1e-4", "molformer-10pct, seeds 3-5, 1e-4"),
    ],
)
def test_negative_numbers_have_a_minus_sign_and_hyphens_stay(written, shown):
    assert text.with_minus_signs(written) == shown


def test_a_headline_keeps_its_capitals():
    assert text.capitalise("influence by CG") == "Influence by CG"
    assert text.capitalise("") == ""


def test_devices_have_plain_names_without_repeats():
    assert text.format_device(None) == text.format_device("x86_64") == "CPU"
    assert text.format_device("NVIDIA H100 and aarch64 and x86_64") == "NVIDIA H100 and CPU"
