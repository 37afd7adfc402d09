"""A queue whose jobs carry the trace of whoever asked for them, and are worked on within it.

A job is under way in the thread that claimed it, until that thread ends it or claims another: one
span for the job, and below it one for each thing that its worker says it does. What is sent
meanwhile continues the trace.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextvars import Token

from msgspec import structs
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from faultline.ports.jobs import JobQueue, JobResult, JobState, TrainingJob, TrainingRequest

_CONTEXT = TraceContextTextMapPropagator()
# Names of spans are few: what is counted, waited for or named in the words is their attribute.
_PARTICULARS = re.compile(r"\s*[\d(:].*", re.DOTALL)


class TracedJobQueue:
    """See `faultline.ports.jobs.JobQueue`."""

    def __init__(self, queue: JobQueue, tracer: Tracer) -> None:
        self._queue = queue
        self._tracer = tracer
        self._own = threading.local()

    def submit(self, request: TrainingRequest) -> TrainingJob:
        """Queue a job, with the trace that it is asked for in."""
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier)
        return self._queue.submit(
            structs.replace(request, traceparent=carrier.get("traceparent", request.traceparent))
        )

    def known(self, request: TrainingRequest) -> TrainingJob | None:
        """The job under the request's key."""
        return self._queue.known(request)

    def get(self, job_id: str) -> TrainingJob:
        """One job."""
        return self._queue.get(job_id)

    def list(self, state: JobState | None = None, limit: int = 50) -> Sequence[TrainingJob]:
        """Jobs, newest first."""
        return self._queue.list(state, limit)

    def claim(self, worker: str, lease_s: float) -> TrainingJob | None:
        """Take the next job, which is under way in this thread from now on."""
        self._end(None)
        job = self._queue.claim(worker, lease_s)
        if job is not None:
            self._own.under_way = _UnderWay(self._tracer, job)
        return job

    def renew(self, job_id: str, worker: str, lease_s: float, progress: str) -> None:
        """Keep the lease; another progress is another span."""
        under_way = self._under_way(job_id)
        if under_way is not None:
            under_way.step(progress)
        self._queue.renew(job_id, worker, lease_s, progress)

    def commit(self, job_id: str, worker: str, lease_s: float) -> None:
        """Keep the lease and the job."""
        self._queue.commit(job_id, worker, lease_s)

    def succeed(self, job_id: str, worker: str, result: JobResult) -> None:
        """Finish."""
        self._queue.succeed(job_id, worker, result)
        self._end(job_id)

    def fail(self, job_id: str, worker: str, error: str) -> None:
        """Finish with a reason."""
        self._queue.fail(job_id, worker, error)
        self._end(job_id, error)

    def release(self, job_id: str, worker: str) -> None:
        """Give a job back."""
        self._end(job_id, "given back")
        self._queue.release(job_id, worker)

    def cancel(self, job_id: str) -> TrainingJob:
        """Cancel a job."""
        return self._queue.cancel(job_id)

    def _under_way(self, job_id: str | None) -> _UnderWay | None:
        # Of this thread: the lease is renewed by another one too, with the same words.
        under_way: _UnderWay | None = getattr(self._own, "under_way", None)
        if under_way is None or job_id not in {None, under_way.job_id}:
            return None
        return under_way

    def _end(self, job_id: str | None, error: str | None = None) -> None:
        under_way = self._under_way(job_id)
        if under_way is not None:
            self._own.under_way = None
            under_way.end(error)


class _UnderWay:
    """The spans of a job in the thread that works on it."""

    def __init__(self, tracer: Tracer, job: TrainingJob) -> None:
        self.job_id = job.job_id
        self._tracer = tracer
        parent = job.request.traceparent
        self._span = tracer.start_span(
            "train",
            _CONTEXT.extract({} if parent is None else {"traceparent": parent}, Context()),
            SpanKind.CONSUMER,
            {
                "faultline.job.id": job.job_id,
                "faultline.job.attempt": job.attempts,
                "faultline.machine_type": job.request.machine_type,
                "faultline.trigger": job.request.trigger,
            },
        )
        self._within = set_span_in_context(self._span, Context())
        self._step: Span | None = None
        self._doing = ""
        self._token: Token[Context] = attach(self._within)

    def step(self, doing: str) -> None:
        """End the span of the step before, and begin this one's."""
        if doing == self._doing:
            return
        self._end_step()
        self._doing = doing
        self._step = self._tracer.start_span(
            _PARTICULARS.sub("", doing), self._within, attributes={"faultline.progress": doing}
        )
        self._token = attach(set_span_in_context(self._step, self._within))

    def end(self, error: str | None) -> None:
        """End all of it."""
        self._end_step()
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()

    def _end_step(self) -> None:
        detach(self._token)
        if self._step is not None:
            self._step.end()
