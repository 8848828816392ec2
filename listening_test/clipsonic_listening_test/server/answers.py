"""PUT /api/answer: acknowledged when it is committed, and never before."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from clipsonic_listening_test.server.answer import read_answer
from clipsonic_listening_test.server.live import Moment, moment, state
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.requests import asking, body_of, reply, service_of
from clipsonic_listening_test.server.saving import prepare, save


async def put_answer(request: Request) -> Response:
    """Save a page. The same answer again has the same reply: where the session stands now."""
    service = service_of(request)
    ask = await asking(request, changes=True)
    answer = read_answer(await body_of(request))
    shown, record = prepare(ask.live, answer, "browser", service.clock())

    def work(connection: Connection) -> Moment | Refusal:
        session = save(connection, ask.live, answer, shown, record, ask.tab)
        return session if isinstance(session, Refusal) else moment(connection, session, ask.cookie)

    found = await service.write(work)
    if isinstance(found, Refusal):
        raise found
    return reply({"stored": True, "state": state(ask.live, found, ask.tab)})
