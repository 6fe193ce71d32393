"""Numbers in free text, and the three ways in which GSM8K (Cobbe et al. 2021, arXiv 2110.14168) is scored.

- `numeric` is the usual way: the last number of the answer, compared as a number.
- `gsm8k_first_line` is that of the paper (Soylu et al. 2024), DSPy's metric for GSM8K: the last word with a digit in
  the first line, its digits up to the first point, without sign; no digit counts as 0.
- `gsm8k_official` is that of the data set's own script: the text after `#### ` without commas, compared as text.

Right answers may be plain (`72`) or GSM8K's worked solutions, which end in `#### 72`.
"""

import re
from decimal import Decimal

from bt_core.metrics.making import Metric, field_metric

#: A sign and a currency, then digits in groups of thousands or plain, then a fraction. A minus after a word is a dash.
_NUMBER = re.compile(r"((?<![\w)])[-−])?[$€£]?((?<![\w)])[-−])?(\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(\.\d+)?")
_MARK = "####"
_MARKED = re.compile(_MARK + r" (-?[0-9.,]+)")


def last_number(text: str) -> Decimal | None:
    """The last number in the text: `$1,234.50.` is 1234.50, `10-12` ends in 12; None where there is none."""
    number = None
    for match in _NUMBER.finditer(text):
        outer, inner, whole, fraction = match.groups()
        if whole or fraction:
            number = Decimal(f"{'-' if outer or inner else ''}{(whole or '0').replace(',', '')}{fraction or ''}")
    return number


def first_line_number(text: str) -> int:
    """The whole number that the paper's metric reads; 0 where there is none."""
    first = text.strip().partition("\n")[0]
    words = [word for word in first.split() if any(letter.isdigit() for letter in word)]
    digits = "".join(filter(str.isdecimal, words[-1].partition(".")[0])) if words else ""
    return int(digits or 0)


def marked_number(text: str) -> str | None:
    """The number after the first `#### `, without commas; None where there is none."""
    match = _MARKED.search(text)
    return match[1].replace(",", "") if match else None


def numeric(field: str, label: str = "", tolerance: float = 0.0) -> Metric:
    """Whether the last numbers of both differ by no more than `tolerance`."""

    def score(predicted: str, right: str) -> float:
        number, answer = last_number(predicted), last_number(_final(right))
        return float(number is not None and answer is not None and abs(number - answer) <= Decimal(str(tolerance)))

    return field_metric("numeric", score, field, label)


def gsm8k_first_line(field: str, label: str = "") -> Metric:
    """The paper's metric for GSM8K."""

    def score(predicted: str, right: str) -> float:
        return float(first_line_number(predicted) == first_line_number(_final(right)))

    return field_metric("gsm8k_first_line", score, field, label)


def gsm8k_official(field: str, label: str = "") -> Metric:
    """The data set's own metric: an answer without `#### ` and a number is wrong."""

    def score(predicted: str, right: str) -> float:
        answer = marked_number(right if _MARK in right else f"{_MARK} {right.strip()}")
        return float(answer is not None and marked_number(predicted) == answer)

    return field_metric("gsm8k_official", score, field, label)


def _final(right: str) -> str:
    """The right answer without the worked solution before it."""
    return right.rpartition(_MARK)[2]
