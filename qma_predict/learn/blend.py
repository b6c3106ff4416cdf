"""Models fitted side by side, their probabilities averaged, and calibrated on rows later than they learnt from."""

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import Tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed  # as joblib's, and they hand on what a context sets
from sklearn.utils.validation import _check_feature_names, check_is_fitted
from threadpoolctl import threadpool_limits

from qma_predict.learn.base_rate import BaseRateShift
from qma_predict.learn.calibration import Calibration
from qma_predict.learn.columns import as_frame, names_of, written_measurements
from qma_predict.learn.given import Given, to_follow, to_learn_from
from qma_predict.learn.later import later_blocks, passing_texts
from qma_predict.learn.mixture import mixture_weights, weighted_mean
from qma_predict.learn.prepare import PlantColumns

_PLAIN = {"transform_output": "default", "enable_metadata_routing": False}
"""What members are fitted and asked under: what a user sets for scikit-learn is meant for the recipe, not for them."""


class CalibratedBlend(ClassifierMixin, _BaseComposition):
    """The weighted mean of its members' probabilities, calibrated on rows later than those that they learnt from.

    Fitting sets apart the newest twelfth of the rows, fits the members on the rows before it, and has them score it;
    likewise the twelfth before that, and so on within the newer half, until 100 defects have been scored by models that
    knew only older rows (`later_blocks`). Their outcome weighs the members (`mixture_weights`) and calibrates the mean
    (`Calibration`); then the members are fitted again, on all rows. What the later rows say of the mean of the members
    holds for the same members fitted on more, while a model that does without the newest rows would be older than it
    needs to be.

    The order of the rows is used for that alone. The newest sixths show which texts come again: a text whose
    categories are mostly new in each of them (a lot, a serial number) is left out, since what was learnt of them
    says nothing about tonight.

    Probabilities are averaged, not ranks: ranks would give a weak member as much to say where it knows nothing
    as where it is sure.

    Parameters
    ----------
    members : list of (str, scikit-learn classifier)
        Unfitted; each is cloned. They get float32 arrays with NaN where a value is missing.
    prepare : transformer, default ``PlantColumns()``
        From the frame to what the members get; fitted anew on each set of training rows.
    strength : float, default 20.0
        See `Calibration`.
    n_jobs : int, optional
        Fits at a time, as joblib has it: None is 1 unless a `joblib.parallel_config` says otherwise. The model
        does not depend on it.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is the defect.
    n_features_in_ : int
    feature_names_in_ : numpy.ndarray of str
        Columns of the frame; absent when fitted on an array, or on a frame whose names are no texts.
    ignored_ : list
        Names of the columns that are left out, since their texts do not come again.
    prepare_ : transformer
    members_ : list of classifiers
    weights_ : numpy.ndarray, shape (n_members,)
        Of the members in the mean; their sum is 1.
    calibration_ : Calibration
    is_ranking_ : bool
        Whether there were too few later defects to say that the scores are probabilities.
    later_ : numpy.ndarray, shape (n_later_rows, 2)
        Probability and label (1 defect) of the later rows, calibrated, in time order: what happened to units
        that were scored before it was known.
    shift_ : BaseRateShift
        What the newest labels say of the base rate, with a notice where it has moved: see `Calibration.drift_`; or
        what those that `follow` was given say.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = pd.DataFrame({"press.force.last": np.tile([1.0, 2.0, 3.0, 4.0], 300)})
    >>> blend = CalibratedBlend([("logistic", LogisticRegression())]).fit(X, np.tile([0, 0, 0, 1], 300))
    >>> blend.calibration_.method_, blend.calibration_.defects_, blend.is_ranking_
    ('sigmoid', 100, False)
    """

    _names: list | None = None  # of the frame's columns, whatever they are; `feature_names_in_` holds texts alone

    def __init__(
        self,
        members: list[tuple[str, BaseEstimator]],
        prepare: BaseEstimator | None = None,
        strength: float = 20.0,
        n_jobs: int | None = None,
    ) -> None:
        self.members = members
        self.prepare = prepare
        self.strength = strength
        self.n_jobs = n_jobs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of a member by its name, as in ``logistic__C``."""
        return dict(self._get_params("members", deep=deep))

    def set_params(self, **params: object) -> "CalibratedBlend":
        """Set parameters by the names that `get_params` gives them."""
        self._set_params("members", **params)
        return self

    def fit(self, X: object, y: object, groups: object = None, sample_weight: object = None) -> "CalibratedBlend":
        """Fit members and calibration.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_rows, n_columns)
            Rows in time order, oldest first. Numbers and texts; missing and infinite values are allowed.
        y : array-like, shape (n_rows,)
            1 defect, 0 good (of any other two classes the second in order is the defect).
        groups : array-like, shape (n_rows,), optional
            What belongs together, say the parts of one shot: rows whose group goes on in a later block are not
            learnt from before it. A row whose group is missing belongs with no other.
        sample_weight : array-like, shape (n_rows,), optional
            Up to a factor; a row of weight 0 counts as if it were not there. Members whose `fit` takes no weights are
            fitted without; their scores are calibrated with them.

        Raises
        ------
        NotEnoughData
            Only one class.
        ValueError
            More than two classes, labels that are missing, weights below 0, lengths that differ, or `X` as in
            `PlantColumns`.
        """
        given = self._take(X, y, groups, sample_weight)
        frame, labels, weight = given.frame, given.labels, given.weight
        origins = later_blocks(labels, given.groups)
        sixths = later_blocks(labels, given.groups, parts=6)
        jobs = [*origins, (np.arange(len(labels)), np.arange(0))]
        prepare = clone(self.prepare) if self.prepare is not None else PlantColumns()
        self.ignored_ = passing_texts(frame, sixths) if "ignore" in prepare.get_params() else []
        if self.ignored_:
            prepare.set_params(ignore=(*prepare.ignore, *self.ignored_))
        with config_context(**_PLAIN), threadpool_limits(1):  # of each fit: threads of threads wait for each other
            prepared = [_prepare(prepare, frame, labels, weight, train, later) for train, later in jobs]
            fits = Parallel(n_jobs=self.n_jobs, prefer="threads")(
                delayed(_fit_member)(member, values, labels[train], _some(weight, train), new)
                for (train, _), (_, values, new) in zip(jobs, prepared, strict=True)
                for _, member in self.members
            )
        count = len(self.members)
        self.prepare_ = prepared[-1][0]
        self.members_ = [model for model, _ in fits[-count:]]
        later = [rows for _, rows in origins]
        scores = [np.stack([score for _, score in fits[n * count :][:count]]) for n in range(len(origins))]
        seen = np.concatenate([np.arange(0), *later]).astype(int)
        self.weights_ = mixture_weights(
            np.concatenate([np.empty((count, 0)), *scores], axis=1), labels[seen], sample_weight=_some(weight, seen)
        )
        rates = [float(np.average(labels[train], weights=_some(weight, train))) for train, _ in origins]
        self._calibrate([weighted_mean(self.weights_, score) for score in scores], rates, later, labels, weight)
        return self

    def predict_proba(self, X: object) -> np.ndarray:
        """Return P(good) and P(defect) of each row, shape (n_rows, 2); a row's do not depend on the others.

        Raises
        ------
        ValueError
            If a column in use is missing, or one that held numbers holds a text.

        Notes
        -----
        Columns are found by name if `fit` was given a frame, else by position. No rows have no probabilities.
        """
        raw = self._raw(X)
        defect = self.calibration_.apply(raw)
        return np.column_stack([1.0 - defect, defect])

    def predict(self, X: object) -> np.ndarray:
        """Return the likelier class of each row, shape (n_rows,)."""
        likelier = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likelier]

    def follow(self, X: object, y: object, sample_weight: object = None) -> BaseRateShift:
        """Let the intercept follow the base rate of newer labels, and return how far it has moved.

        The ranking stays, all odds change by one factor, shrunk towards 1; see `base_rate_shift`. A second call
        starts from the model as it was fitted. After the first labels of a jump this brings the number of
        defects that is promised back; a new training does the rest.

        Parameters
        ----------
        X, y, sample_weight
            As `fit`, of rows newer than those of `fit`; one class is enough, and rows whose label is missing, since it
            is not known yet, count for nothing.

        Raises
        ------
        ValueError
            Labels that are neither of the two classes, lengths that differ, or `X` as in `predict_proba`.

        Returns
        -------
        BaseRateShift
            Its `notice` is a sentence for people where the move is significant, else empty.
        """
        raw = self._raw(X)
        known, defect, weight = to_follow(self._who(), len(raw), y, sample_weight, self.classes_)
        self.shift_ = self.calibration_.follow(raw[known], defect, weight)
        return self.shift_

    def _raw(self, X: object) -> np.ndarray:
        check_is_fitted(self, "members_")
        with config_context(**_PLAIN):
            values = self.prepare_.transform(self._known(X))
            if not len(values):
                return np.empty(0)
            return weighted_mean(self.weights_, [_defect(model, values) for model in self.members_])

    def _calibrate(
        self,
        scores: list[np.ndarray],
        rates: list[float],
        later: list[np.ndarray],
        labels: np.ndarray,
        weight: np.ndarray | None,
    ) -> None:
        """Calibrate on blocks of later rows, scored when they were new by models that learnt from these rates."""
        rows, raw = (np.concatenate([np.arange(0), *parts]) for parts in (later, scores))
        rows, sizes = rows.astype(int), [len(part) for part in later]
        self.calibration_ = Calibration(self.strength).fit(
            raw,
            labels[rows],
            base_rate=float(np.average(labels, weights=weight)),
            learnt_from=min(labels.sum(), len(labels) - labels.sum()),
            block=np.repeat(np.arange(len(later)), sizes),
            learnt_rate=np.repeat(rates, sizes),
            sample_weight=_some(weight, rows),
        )
        self.is_ranking_ = self.calibration_.is_ranking_
        self.shift_ = self.calibration_.drift_
        self.later_ = np.column_stack([self.calibration_.apply(raw), labels[rows]])

    def _who(self) -> str:
        return ", ".join(name for name, _ in self.members)

    def _take(self, X: object, y: object, groups: object, sample_weight: object) -> Given:
        """What `fit` is given, checked; sets what an estimator knows of what it was fitted on."""
        frame = as_frame(X, estimator=self)
        given = to_learn_from(self._who(), frame, y, groups, sample_weight)
        _check_feature_names(self, X, reset=True)
        self._names, self.n_features_in_, self.classes_ = names_of(X), frame.shape[1], given.classes
        if written := written_measurements(frame):
            warnings.warn(
                f"{self._who()}: columns {', '.join(map(str, written))} hold decimal numbers as texts or categories: "
                "nothing is learnt of how large they are. Make them numbers (pandas.to_numeric), or leave them out.",
                stacklevel=3,
            )
        return given

    def _known(self, X: object) -> pd.DataFrame:
        """X as a frame with the names of what `fit` was given, by its own where both have some, else by position."""
        frame, names = as_frame(X, at_least=0, estimator=self), getattr(self, "feature_names_in_", self._names)
        if names is not None and names_of(X) is not None:
            return frame
        if frame.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {frame.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        _check_feature_names(self, X, reset=False)
        return frame.set_axis(range(self.n_features_in_) if names is None else names, axis=1)

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn may expect: two classes, texts, missing values."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def _prepare(
    prepare: BaseEstimator,
    frame: pd.DataFrame,
    labels: np.ndarray,
    weight: np.ndarray | None,
    train: np.ndarray,
    later: np.ndarray,
) -> tuple[BaseEstimator, np.ndarray, np.ndarray | None]:
    fitted = clone(prepare)
    values = fitted.fit_transform(frame.iloc[train], labels[train], sample_weight=_some(weight, train))
    return fitted, values, fitted.transform(frame.iloc[later]) if len(later) else None


def _fit_member(
    member: BaseEstimator, values: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, new: np.ndarray | None
) -> tuple[BaseEstimator, np.ndarray | None]:
    model = clone(member)
    model.fit(values, labels, **({} if weight is None else _as_it_takes(weight, model)))
    return model, None if new is None else _defect(model, new)


def _as_it_takes(weight: np.ndarray, model: BaseEstimator) -> dict[str, np.ndarray]:
    """Return weights by the name that `fit` takes them by, that of a pipeline's last step; nothing if it takes none."""
    steps = ""
    while hasattr(model, "steps"):
        name, model = model.steps[-1]
        steps += f"{name}__"
    named = inspect.signature(model.fit).parameters.values()
    takes = any(one.name == "sample_weight" or one.kind is one.VAR_KEYWORD for one in named)
    return {f"{steps}sample_weight": weight} if takes else {}


def _defect(model: BaseEstimator, values: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_proba(values), dtype=float)[:, 1]


def _some(weight: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weight is None else weight[rows]
