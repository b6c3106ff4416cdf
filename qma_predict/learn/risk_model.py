"""A fitted classifier in the form in which it leaves the lab."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

_TEXT, _NUMBER = pd.Series(dtype="str").dtype, np.dtype("float32")


class RiskModel(BaseEstimator):
    """A fitted classifier as it leaves the lab: `predict` gives P(defect).

    Parameters
    ----------
    classifier : fitted scikit-learn classifier
        With `predict_proba` for the classes 0 (good) and 1 (defect).
    features : list of str
        Names of the features it was fitted on, in order.
    texts : list of str
        Those of them that hold text.
    """

    def __init__(self, classifier: BaseEstimator, features: list[str], texts: list[str]) -> None:
        self.classifier = classifier
        self.features = features
        self.texts = texts

    @classmethod
    def of(cls, classifier: BaseEstimator, X: pd.DataFrame) -> "RiskModel":
        """Model of a classifier fitted on a feature table."""
        texts = [name for name in X if not pd.api.types.is_numeric_dtype(X[name].dtype)]
        return cls(classifier, list(X.columns), texts)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """P(recorded as defect if inspected), shape (n_units,).

        Features that `X` lacks are missing values, others than the model's are ignored.
        """
        texts = set(self.texts)
        known = X.reindex(columns=self.features)
        wanted = {name: _TEXT if name in texts else _NUMBER for name in self.features}
        # a call on few rows spends most of its time here
        frame = known.astype({name: wanted[name] for name, found in known.dtypes.items() if found != wanted[name]})
        chance, classes = self.classifier.predict_proba(frame), list(self.classifier.classes_)
        return chance[:, classes.index(1)] if 1 in classes else np.zeros(len(frame))  # no defect is known yet

    @property
    def notice(self) -> str:
        """What the newest labels of its fit said of the base rate where it has moved, in a sentence; else empty."""
        shift = getattr(self.classifier, "shift_", None)  # of a calibrated blend: a simple rule is not told
        return "" if shift is None else str(shift.notice)
