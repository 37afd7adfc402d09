# One target per service: ingest, recorder, trainer, predictor, and admin for the steps before them
# (`faultline migrate`, `faultline topics`) and the simulator.

# --- What builds: stays out of the images ---
FROM python:3.13-slim-trixie AS builder
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/faultline
WORKDIR /build
COPY pyproject.toml requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet "$(grep -o '^uv==[^ ]*' requirements.lock)" \
 && uv venv --quiet "$VIRTUAL_ENV"

FROM builder AS wheel
COPY README.md LICENSE ./
COPY faultline faultline
COPY services services
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --quiet --wheel --out-dir /wheel

# The dependencies change seldom, the code often: each has a layer of its own.
FROM builder AS ingest-environment
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --constraint requirements.lock --requirement pyproject.toml --extra ingest --extra tracing --extra confluent

FROM builder AS trainer-environment
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --constraint requirements.lock --requirement pyproject.toml --extra trainer --extra tracing --extra confluent

FROM builder AS predictor-environment
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --constraint requirements.lock --requirement pyproject.toml --extra predictor --extra tracing --extra confluent

FROM builder AS code
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --no-deps --target /opt/code /wheel/*.whl

# --- What runs ---
FROM python:3.13-slim-trixie AS runtime
# Folders that volumes are laid over: a new volume takes their owner.
RUN groupadd --gid 10001 faultline \
 && useradd --uid 10001 --gid faultline --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin faultline \
 && install --directory --owner faultline --group faultline /var/lib/faultline
# Small arrays: a pool of threads per process costs more than it gives.
ENV PATH=/opt/faultline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/code \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    FAULTLINE_HTTP_HOST=0.0.0.0
COPY --chmod=755 deploy/image/healthy deploy/image/with-own-folder /usr/local/bin/
WORKDIR /tmp
STOPSIGNAL SIGTERM
LABEL org.opencontainers.image.title="Faultline" \
      org.opencontainers.image.description="Watches machines through their sensors" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS ingest-runtime
COPY --from=ingest-environment /opt/faultline /opt/faultline
COPY --from=code /opt/code /opt/code
ARG GIT_COMMIT=""
LABEL org.opencontainers.image.revision=$GIT_COMMIT
USER 10001:10001

FROM ingest-runtime AS admin
ENTRYPOINT ["python", "-m", "faultline"]
CMD ["--help"]

FROM ingest-runtime AS recorder
EXPOSE 8003
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["healthy", "8003"]
CMD ["python", "-m", "services.ingest", "recorder"]

FROM ingest-runtime AS ingest
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["healthy", "8001"]
CMD ["python", "-m", "services.ingest", "gateway"]

FROM runtime AS trainer
COPY --from=trainer-environment /opt/faultline /opt/faultline
COPY --from=code /opt/code /opt/code
ARG GIT_COMMIT=""
LABEL org.opencontainers.image.revision=$GIT_COMMIT
ENV FAULTLINE_TRAINER_GIT_COMMIT=$GIT_COMMIT
USER 10001:10001
VOLUME /var/lib/faultline
EXPOSE 8002
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["healthy", "8002"]
ENTRYPOINT ["with-own-folder"]
CMD ["python", "-m", "services.trainer"]

FROM runtime AS predictor
COPY --from=predictor-environment /opt/faultline /opt/faultline
COPY --from=code /opt/code /opt/code
ARG GIT_COMMIT=""
LABEL org.opencontainers.image.revision=$GIT_COMMIT
USER 10001:10001
VOLUME /var/lib/faultline
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["healthy", "8000"]
ENTRYPOINT ["with-own-folder"]
CMD ["python", "-m", "services.predictor"]
