"""What the router is compared with, on the same rows: always the most common label, and TF-IDF
(words and pairs) with logistic regression. Both learn from what the classifier learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from orchestrator.rules.labelled import Labelled
from training.router.quality.asked import Asked


def tfidf(rows: Sequence[Asked], learnt: Sequence[Labelled]) -> list[bool]:
    """Which rows it gets right, set up as is common."""
    reader = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=10.0, max_iter=200)
    model.fit(reader.fit_transform([r.prompt for r in learnt]), [r.label for r in learnt])
    said = model.predict(reader.transform([r.prompt for r in rows]))
    return [guess in row.right for guess, row in zip(said, rows, strict=True)]


def majority(rows: Sequence[Asked], learnt: Sequence[Labelled]) -> tuple[str, list[bool]]:
    common = Counter(row.label for row in learnt).most_common(1)[0][0]
    return common, [common in row.right for row in rows]
