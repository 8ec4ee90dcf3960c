"""`--meta-url-file`: the URL of Meta's e-mail, judged before anything is sent."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING

from llamactl.errors import BadValueError
from llamactl.modelname import Resolved

if TYPE_CHECKING:
    from llama_operator.api.signed_url import SignedUrl

OPTION = "--meta-url-file"


def take(file: IO[str], resolved: Resolved, folder: str = "") -> str:
    """The URL as it was written. Raises BadValueError for one that is of no use for the model."""
    return judged(file.read(), resolved, folder)[0]


def judged(
    text: str, resolved: Resolved, folder: str = "", field: str = OPTION
) -> tuple[str, SignedUrl]:
    """The URL as it was written, and as it was read. Raises BadValueError, which quotes none."""
    from llama_operator.api import signed_url
    from llama_operator.api.signed_url import UrlRefused
    from llama_operator.catalog import meta_files

    if resolved.entry is None:
        raise BadValueError(
            f"{resolved.model} is not in the catalogue, so its files on Meta's server are not known",
            field="MODEL",
            next="llamactl models",
        )
    try:
        meta_files.listing(resolved.entry, folder)
        url = signed_url.read(text)
        meta_files.check_family(url, resolved.entry)
        url.check_time(time.time())
    except UrlRefused as refused:
        raise BadValueError(refused.message, field=field, fix=refused.fix) from None
    return text.strip(), url
