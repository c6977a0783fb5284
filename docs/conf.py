"""The site that ``make docs`` builds: pages in Markdown, the reference from docstrings, search without a server."""

import inspect
import os
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

project = "airflow-provider-omnichat"
project_copyright = "The airflow-provider-omnichat authors"
html_title = "OMNI Chat for Apache Airflow"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4  # the same anchors as on GitHub, so that a link works in both

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_show_sourcelink = False
html_copy_source = False
# Nothing is loaded from elsewhere: the site is read from a folder, without a network.
html_theme_options = {"navigation_with_keys": True}

# Airflow reads this when the operators are imported, and would make a home in the user's own folder.
if "AIRFLOW_HOME" not in os.environ:
    raise SystemExit("Build the site with `make docs`: it gives Airflow a home that is thrown away.")


def _signature_of_init(app: Sphinx, what: str, name: str, cls: Any, *_: Any) -> tuple[str, str] | None:
    """Return the parameters of an operator: Airflow wraps ``__init__``, and autodoc would show ``*args, **kwargs``."""
    if what != "class" or not hasattr(cls, "template_fields"):
        return None
    signature = inspect.signature(cls.__init__)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    return stringify_signature(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)), ""


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-signature", _signature_of_init)
