"""A factory without arguments for other ASGI servers, behind which the study then runs:

CLIPSONIC_STUDY=STUDY uvicorn --factory clipsonic_listening_test.server.asgi:create
CLIPSONIC_STUDY=STUDY granian --interface asgi --factory clipsonic_listening_test.server.asgi:create

CLIPSONIC_DB is `--db`; CLIPSONIC_HTTPS=1 is `--https-cookies`. One process: limits and logins live in memory.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from starlette.applications import Starlette

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.server.app import create_app
from clipsonic_listening_test.server.service import Options, Service
from clipsonic_listening_test.store.database import database_url
from clipsonic_listening_test.store.open import Store
from clipsonic_listening_test.study import load_study


def create() -> Starlette:
    """The application of the study that the environment names.

    Raises:
        ListeningTestError: it names none, or one that cannot be served.
    """
    if "CLIPSONIC_STUDY" not in os.environ:
        raise ListeningTestError("CLIPSONIC_STUDY is not set; set it to the folder of a study")
    study = load_study(os.environ["CLIPSONIC_STUDY"])
    store = Store(database_url(os.environ.get("CLIPSONIC_DB"), study.folder), Path(study.folder))
    service = Service(study, store, Options(https_cookies=os.environ.get("CLIPSONIC_HTTPS") == "1"))
    logging.getLogger(__name__).warning("monitor: /monitor#%s", service.logins.token)
    return create_app(service)
