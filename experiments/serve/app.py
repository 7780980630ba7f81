"""The web service: routes, limits, headers, errors. All it computes is in `answers`."""

import functools
import ipaddress
import pathlib
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from experiments.page_environment import page_environment
from experiments.serve.answers import Answer, Answers
from experiments.serve.limits import (
    Limits,
    OneAtATime,
    RateLimit,
    RefusedError,
    read_body,
)
from experiments.serve.ramps import RAMPS
from experiments.serve.uploads import Background, Thermogram, read_upload
from wbad_jax.data import DataError

_FOLDER = pathlib.Path(__file__).parent
_REPORT = _FOLDER.parent / "report"
# Scripts, styles and data come from here alone; pictures are drawn by the script.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Research-Only": "not a diagnostic device",
}
_NAME = Query(max_length=300, description="Name of the file; its ending tells what.")


def make_app(answers: Answers, limits: Limits, *, public: bool = False) -> FastAPI:
    """The service of one run.

    Args:
        answers: Compiled.
        limits: Of this process.
        public: Whether other machines may ask; else requests must name this one.
    """
    app = FastAPI(
        title="wbad_jax twin page", docs_url=None, redoc_url=None,
        description="Research only. Not a diagnostic device.",
    )  # fmt: skip
    _protect(app, public)
    _add_pages(app, answers, limits)
    rate, work = RateLimit(limits.requests_a_minute), OneAtATime(limits)

    async def serve(
        request: Request, name: str, background: Background,
        answer: Callable[[Thermogram], Answer],
    ) -> Answer:  # fmt: skip
        rate.take()
        declared = request.headers.get("content-length")
        content = await read_body(request.stream(), declared, limits)

        def compute() -> Answer:
            return answer(read_upload(content, name, answers.run, background))

        return await work.run(compute)

    for path, answer in (
        ("/api/examine", answers.examine),
        ("/api/attack", answers.attack),
        ("/api/certify", answers.certify),
    ):
        _add_route(app, path, functools.partial(serve, answer=answer))
    return app


def _add_route(app: FastAPI, path: str, serve: Callable) -> None:
    @app.post(path)
    async def post(
        request: Request,
        name: Annotated[str, _NAME],
        background: Background = "automatic",
    ) -> JSONResponse:
        """The body is the file itself, no form."""
        return JSONResponse(await serve(request, name, background))


def _add_pages(app: FastAPI, answers: Answers, limits: Limits) -> None:
    page = _render(answers)
    more = {"ramps": RAMPS, "upload_bytes": limits.upload_bytes}
    style = "".join((f / "page.css").read_text("utf-8") for f in (_REPORT, _FOLDER))
    script = (_FOLDER / "page.js").read_text("utf-8")

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/page.css")
    async def css() -> Response:
        return Response(style, media_type="text/css")

    @app.get("/page.js")
    async def js() -> Response:
        return Response(script, media_type="text/javascript")

    @app.get("/api/run")
    async def run() -> JSONResponse:
        return JSONResponse(answers.facts() | more)

    @app.get("/api/examples/{number}.csv")
    async def example(number: int) -> PlainTextResponse:
        text = answers.example(number)
        if text is None:
            raise HTTPException(404, "There is no such example.")
        return PlainTextResponse(text)


def _render(answers: Answers) -> str:
    return page_environment(_FOLDER).get_template("page.html").render(**answers.facts())


def _protect(app: FastAPI, public: bool) -> None:
    """Headers on every answer, errors as JSON, and no request from another site."""

    @app.middleware("http")
    async def guard(request: Request, call_next) -> Response:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        # A page elsewhere could have a browser here ask for it, under its own name.
        if not public and not _is_here(urlsplit(f"//{host}").hostname):
            response = _error(421, "This service answers to localhost alone.")
        elif origin and urlsplit(origin).netloc != host:
            response = _error(403, "Another site may not use this service.")
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return _error(error.status, str(error), error.retry_after)

    @app.exception_handler(DataError)
    async def unreadable(request: Request, error: DataError) -> JSONResponse:
        return _error(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _error(422, f"{first['loc'][-1]}: {first['msg']}.")

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        # The error itself goes to the terminal, not to whoever asked.
        return _error(500, "The service failed; its terminal says why.")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))


def _error(status: int, message: str, retry_after: int | None = None) -> JSONResponse:
    retry = {} if retry_after is None else {"Retry-After": str(retry_after)}
    content = {"error": message}
    return JSONResponse(content, status_code=status, headers=HEADERS | retry)


def _is_here(host: str | None) -> bool:
    """Whether a name or address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
