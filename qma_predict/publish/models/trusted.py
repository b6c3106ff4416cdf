"""What a stored model may consist of: types none of which runs code when it is loaded."""

import io
import re
import zipfile
from collections.abc import Iterable

from sklearn.base import BaseEstimator

from qma_predict.errors import ModelError

TRUSTED_TYPES = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "numpy.dtype",
    "numpy.number",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
"""Types, beyond our own and those that skops trusts by itself, that a stored model may consist of."""

_OURS = "qma_predict.learn."


def dumped(model: BaseEstimator) -> tuple[bytes, list[str]]:
    """Return a model in skops' form, and the types in it that skops does not trust by itself.

    The same model gives the same bytes, in any process at any time.

    Raises
    ------
    ModelError
        If one of them is not trusted by us either.
    """
    import skops.io  # half a second

    data = _canonical(skops.io.dumps(model))
    types = skops.io.get_untrusted_types(data=data)
    check(types)
    return data, list(types)


def _canonical(data: bytes) -> bytes:
    """A dump that is numbered by the order of its parts, where skops takes their addresses in memory, and undated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts.pop("schema.json").decode()
    numbers = {address: str(n) for n, address in enumerate(dict.fromkeys(re.findall(r'"__id__": (\d+)', schema)))}

    def renamed(name: str) -> str:
        address, dot, kind = name.partition(".")
        return numbers.get(address, address) + dot + kind

    schema = re.sub(r'"__id__": (\d+)', lambda found: f'"__id__": {numbers[found[1]]}', schema)
    schema = re.sub(r'"(\d+\.\w+)"', lambda found: f'"{renamed(found[1])}"', schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted({renamed(name): content for name, content in parts.items()}.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
    return buffer.getvalue()


def loaded(data: bytes) -> BaseEstimator:
    """Return the model of `dumped`.

    Raises
    ------
    ModelError
        If it holds types that are not trusted.
    """
    import skops.io

    types = skops.io.get_untrusted_types(data=data)
    check(types)
    return skops.io.loads(data, trusted=list(types))


def check(types: Iterable[str]) -> None:
    """Refuse types that are not trusted.

    Raises
    ------
    ModelError
        If there are any.
    """
    strange = [name for name in types if name not in TRUSTED_TYPES and not name.startswith(_OURS)]
    if strange:
        raise ModelError(
            f"model of types {strange}, which are not trusted. Expected scikit-learn's, LightGBM's or ours."
        )
