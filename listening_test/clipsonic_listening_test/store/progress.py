"""How a study goes: what the monitor and `status` show."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from clipsonic_listening_test.store.sessions import NOT_COUNTED, lease_ms
from clipsonic_listening_test.store.tables import alert, answer, page, session
from clipsonic_listening_test.study import Study

PRESENT_MS = 120_000
MOST_SESSIONS = 500
MOST_ALERTS = 50


def progress(connection: Connection, study: Study, now_ms: int) -> dict[str, Any]:
    """Sessions, groups, pages, alerts. `dropped`: sessions whose lease has lapsed without an outcome."""
    mine = session.c.digest == study.digest
    open_, lapsed = session.c.outcome.is_(None), session.c.seen_ms <= now_ms - lease_ms(study)
    present = session.c.seen_ms > now_ms - PRESENT_MS

    def count(*where: Any) -> int:
        return int(connection.execute(select(func.count()).select_from(session).where(mine, *where)).scalar_one())

    outcomes = connection.execute(
        select(session.c.outcome, func.count()).where(mine, ~open_).group_by(session.c.outcome)
    ).all()
    groups = connection.execute(
        select(session.c.group, func.count())
        .where(mine, or_(session.c.outcome == "complete", and_(open_, ~lapsed)))
        .group_by(session.c.group)
    ).all()
    others = select(func.count()).select_from(session).where(session.c.study == study.id, ~mine)
    return {
        "sessions": {
            "begun": count(),
            "present": count(open_, present),
            "away": count(open_, ~present, ~lapsed),
            "dropped": count(open_, lapsed),
            "of_other_versions": connection.execute(others).scalar_one(),
        },
        "outcomes": {outcome: number for outcome, number in outcomes},
        "groups": {group: next((n for name, n in groups if name == group), 0) for group in study.groups},
        "pages": _pages(connection, study, now_ms),
        "participants": _participants(connection, study, now_ms),
        "alerts": _alerts(connection),
    }


def _pages(connection: Connection, study: Study, now_ms: int) -> list[dict[str, Any]]:
    leased = and_(session.c.outcome.is_(None), session.c.seen_ms > now_ms - lease_ms(study))
    joined = session.join(page, page.c.session == session.c.id)
    where = and_(
        session.c.digest == study.digest, or_(session.c.outcome.is_(None), session.c.outcome.not_in(NOT_COUNTED))
    )

    def by_page(*more: Any) -> dict[str, int]:
        rows = connection.execute(
            select(page.c.page, func.count()).select_from(joined).where(where, *more).group_by(page.c.page)
        ).all()
        return {name: number for name, number in rows}

    answered = by_page(page.c.position < session.c.position)
    held = by_page(page.c.position >= session.c.position, leased)
    left_at = connection.execute(  # the page before which sessions were left
        select(page.c.page, func.count())
        .select_from(joined)
        .where(session.c.digest == study.digest, session.c.outcome.is_(None), ~leased)
        .where(page.c.position == session.c.position)
        .group_by(page.c.page)
    ).all()
    times = connection.execute(
        select(page.c.page, func.avg(answer.c.page_ms))
        .select_from(
            joined.join(answer, and_(answer.c.session == page.c.session, answer.c.position == page.c.position))
        )
        .where(session.c.digest == study.digest)
        .group_by(page.c.page)
    ).all()
    dropped = {name: number for name, number in left_at}
    mean_s = {name: round(float(ms) / 1000, 1) for name, ms in times}
    return [
        {
            "page": each.id,
            "type": each.type,
            "pass": each.pass_,
            "block": study.block_of[each.id].id,
            "answered": answered.get(each.id, 0),
            "held": held.get(each.id, 0),
            "dropped": dropped.get(each.id, 0),
            "target": study.block_of[each.id].ratings_per_page,
            "mean_s": mean_s.get(each.id),
        }
        for each in study.pages.values()
        if each.type != "finish"
    ]


def _participants(connection: Connection, study: Study, now_ms: int) -> list[dict[str, Any]]:
    ends = [each.id for each in study.pages.values() if each.type == "finish"]  # nothing is answered there
    total = select(func.count()).where(page.c.session == session.c.id, page.c.page.not_in(ends)).scalar_subquery()
    columns = (
        session.c.participant,
        session.c.group,
        session.c.position,
        total,
        session.c.outcome,
        session.c.created_ms,
        session.c.seen_ms,
    )
    rows = connection.execute(
        select(*columns)
        .where(session.c.digest == study.digest)
        .order_by(session.c.seen_ms.desc(), session.c.number.desc())
        .limit(MOST_SESSIONS)
    ).all()
    lapsed = now_ms - lease_ms(study)
    return [
        {
            "participant": participant,
            "group": group,
            "done": done,
            "total": pages,
            "state": outcome or ("dropped" if seen <= lapsed else "present" if seen > now_ms - PRESENT_MS else "away"),
            "begun_s_ago": (now_ms - created) // 1000,
            "seen_s_ago": (now_ms - seen) // 1000,
        }
        for participant, group, done, pages, outcome, created, seen in rows
    ]


def _alerts(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(alert.c.at_ms, alert.c.kind, alert.c.detail, session.c.participant)
        .select_from(alert.outerjoin(session, session.c.id == alert.c.session))
        .order_by(alert.c.id.desc())
        .limit(MOST_ALERTS)
    ).all()
    return [{"at_ms": at, "kind": kind, "detail": detail, "participant": who} for at, kind, detail, who in rows]
