"""Exact match and F1 with the normalisation of SQuAD and HotPotQA.

Rajpurkar et al. 2016 (SQuAD, arXiv 1606.05250, section 6.1) and the evaluation scripts of SQuAD v1.1 and of HotPotQA
(Yang et al. 2018, arXiv 1809.09600, `hotpot_evaluate_v1.py`): letters become lower case, ASCII punctuation is deleted
(not replaced by spaces), then the words a, an and the are deleted, and then runs of spaces become one space.
"""

import re
import string
from collections import Counter

from bt_core.metrics.making import Metric, field_metric

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:an?|the)\b")
#: In HotPotQA these answers are right as a whole or not at all.
_WHOLE = frozenset({"yes", "no", "noanswer"})


def normalise(text: str) -> str:
    """The text in the form in which both scripts compare it."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_score(predicted: str, right: str) -> float:
    """1 if both are equal after normalisation, else 0."""
    return float(normalise(predicted) == normalise(right))


def f1_score(predicted: str, right: str) -> float:
    """The harmonic mean of the precision and recall of words, each word counted as often as it is in both.

    As in HotPotQA, `yes`, `no` and `noanswer` share no words with any other answer.
    """
    answer, right_answer = normalise(predicted), normalise(right)
    if answer != right_answer and (answer in _WHOLE or right_answer in _WHOLE):
        return 0.0
    words, right_words = answer.split(), right_answer.split()
    shared = (Counter(words) & Counter(right_words)).total()
    return 2.0 * shared / (len(words) + len(right_words)) if shared else 0.0


def exact_match(field: str, label: str = "") -> Metric:
    """Exact match after normalisation."""
    return field_metric("exact_match", exact_score, field, label)


def f1(field: str, label: str = "") -> Metric:
    """F1 over words after normalisation."""
    return field_metric("f1", f1_score, field, label)
