"""What options can be: each line names the option and its value."""

from dataclasses import dataclass

import pytest

from models.registry import check_positive, check_rates, check_sizes


@dataclass(frozen=True)
class Options:
    size: int = 1
    sizes: tuple[int, ...] = (3, 1)
    rate: float = 0.0


@pytest.mark.parametrize("options", [{}, {"sizes": ()}, {"rate": 0.999}])
def test_what_can_be_is_taken(options):
    check_sizes(Options(**options), "size", "sizes")
    check_rates(Options(**options), "rate")
    check_positive(Options(), "size")


@pytest.mark.parametrize(
    ("check", "options", "says"),
    [
        (check_sizes, {"size": 0}, "size is at least 1, not 0"),
        (check_sizes, {"sizes": (2, 0)}, r"sizes is at least 1, not \(2, 0\)"),
        (check_rates, {"rate": 1.0}, r"rate is in \[0, 1\), not 1.0"),
        (check_rates, {"rate": -0.1}, r"rate is in \[0, 1\), not -0.1"),
        (check_rates, {"rate": float("nan")}, r"rate is in \[0, 1\), not nan"),
        (check_positive, {"rate": 0.0}, "rate is above 0, not 0.0"),
        (check_positive, {"rate": float("nan")}, "rate is above 0, not nan"),
    ],
)
def test_what_cannot_is_refused_by_name(check, options, says):
    with pytest.raises(ValueError, match=f"^{says}$"):
        check(Options(**options), *options)
