"""Every exception as one JSON shape for the API, and as a page for staff; never a stack trace."""

from __future__ import annotations

import logging
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.response import Redirect, Template
from sqlalchemy.exc import SQLAlchemyError

from needlepoint.channels.web.routes import Refusal
from needlepoint.conversations.reception import ConsentNeededError
from needlepoint.conversations.record import TooManyWaitingError, UnknownConversationError
from needlepoint.faq.store import FaqRefusedError
from needlepoint.phrases import Phrases
from needlepoint.staff.permissions import SecondFactorMissingError

log = logging.getLogger(__name__)


class ErrorPages:
    """Turns every exception into one JSON shape for the API, and into a page for staff."""

    def __init__(self, phrases: Phrases) -> None:
        self._phrases = phrases

    def handle(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        status, code, message = _described(error)
        if status >= 500:
            log.error("%s %s failed", request.method, request.scope.get("path_template", ""), exc_info=error)
        path = request.url.path
        if path.startswith("/staff"):
            if isinstance(error, SecondFactorMissingError):
                return Redirect("/staff/account/second-factor", status_code=303)
            if isinstance(error, NotAuthorizedException):
                session = request.scope.get("session")
                ended = isinstance(session, dict) and "staff" in session
                return Redirect("/staff/login" + ("?ended=yes" if ended else ""), status_code=303)
            return Template(
                "error.html",
                context={"status": status, "message": message, "staff": request.scope["state"].get("staff")},
                status_code=status,
            )
        emergency = self._phrases.say("emergency_line", self._phrases.clinic.languages[0])
        content = {"error": {"code": code, "message": message, "emergency": emergency}}
        headers = getattr(error, "headers", None) or {}
        return Response(content, status_code=status, media_type=MediaType.JSON, headers=headers)


def _described(error: Exception) -> tuple[int, str, str]:
    """HTTP status, our code, and words for a person."""
    match error:
        case Refusal():
            return error.status_code, error.code, error.detail
        case ConsentNeededError():
            return 409, "consent_needed", "please agree to the privacy notice first; nothing was stored"
        case UnknownConversationError():
            return 404, "unknown_conversation", "there is no such conversation; start a new one"
        case TooManyWaitingError():
            return 429, "too_many_waiting", "please wait for the answers to the messages you have sent"
        case FaqRefusedError():
            return 400, "refused", f"{error}."
        case ValidationException():
            return 400, "bad_request", _complaint(error)
        case UnicodeDecodeError():
            return 400, "bad_request", "the body is not JSON in UTF-8"
        case HTTPException():
            return error.status_code, _CODES.get(error.status_code, "refused"), error.detail
        case SQLAlchemyError() | TimeoutError():
            return 503, "unavailable", "this does not work just now; please try again in a minute or call the clinic"
        case _:
            return 500, "failed", "something went wrong on our side; please try again or call the clinic"


_CODES = {
    400: "bad_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


def _complaint(error: ValidationException) -> str:
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict) and "message" in extra[0]:
        where = extra[0].get("key") or "body"
        return f"{where}: {extra[0]['message']}"
    return error.detail
