"""The templates of the pages: everything is escaped unless a template says that it is safe."""

import base64
import hashlib
from pathlib import Path

import jinja2

from qma_predict.publish.pages.words import LONGEST_SENTENCE
from qma_predict.publish.text import shortened

FOLDER = Path(__file__).parent


def template(name: str, folder: Path = FOLDER) -> jinja2.Template:
    """Return a template of a folder by its file's name; it may include those of this one."""
    return _environment(folder).get_template(name)


def script_hash(script: str) -> str:
    """Return the source expression by which a Content-Security-Policy allows exactly this inline script.

    Examples
    --------
    >>> script_hash("alert('Hello, world.');")
    'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"css_text": _css_text, "sentence": _sentence}
    return environment


def _sentence(text: str) -> str:
    return shortened(text, longest=LONGEST_SENTENCE)


def _css_text(text: str) -> str:
    """Return the text for a quoted CSS string: all but letters and digits as code points."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x}" for c in text)
